# Drives libtorrent for the tests: python3 client.py '{"source": …, "dir": …, …}'
# Says in lines what happens: "listening PORT", "metadata", "seeding", "finished SECONDS".
import json, os, signal, sys, time
import libtorrent as lt

config = json.loads(sys.argv[1])
signal.signal(signal.SIGINT, lambda *_: os._exit(0))


def say(*words):
    print(*words, flush=True)


dht = {}
if config.get("dht"):  # a node to begin with; on loopback all have one address
    dht = {"enable_dht": True, "dht_bootstrap_nodes": config["dht"], "dht_restrict_routing_ips": False, "dht_restrict_search_ips": False}
session = lt.session(dict({
    "listen_interfaces": "%s:%d" % (config["address"], config.get("port", 0)),
    "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
    "allow_multiple_connections_per_ip": True,  # all tests have one address
    "alert_mask": lt.alert.category_t.status_notification | lt.alert.category_t.error_notification
    | lt.alert.category_t.tracker_notification | lt.alert.category_t.connect_notification
    | lt.alert.category_t.peer_notification | lt.alert.category_t.storage_notification,
}, **dict(dht, **config.get("settings", {}))))
source = config["source"]
if source.startswith("magnet:"):
    params = lt.parse_magnet_uri(source)
else:
    params = lt.add_torrent_params()
    params.ti = lt.torrent_info(source)
    params.trackers = [t.url for t in params.ti.trackers()]
params.save_path = config["dir"]
params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
params.flags &= ~lt.torrent_flags.disable_dht
if not dht:
    params.flags |= lt.torrent_flags.disable_dht
params.flags &= ~(lt.torrent_flags.disable_lsd | lt.torrent_flags.disable_pex)
if not config.get("lsd"):
    params.flags |= lt.torrent_flags.disable_lsd
if not config.get("pex"):
    params.flags |= lt.torrent_flags.disable_pex
if not config.get("web_seeds", True):
    params.flags |= lt.torrent_flags.override_web_seeds
    params.url_seeds = []
begin = time.monotonic()
handle = session.add_torrent(params)
handle.set_download_limit(config.get("slow", -1))
for peer in config.get("peers", []):
    host, port = peer.rsplit(":", 1)
    handle.connect_peer((host, int(port)))
say("listening", session.listen_port())

known = finished = flushed = False
asked = 0
while True:
    # Not wait_for_alert: the binding looks at the alert it returns while the session's thread may move it (SIGSEGV).
    time.sleep(0.02)
    if dht and session.is_dht_running() and time.monotonic() - asked > 2:  # by itself it asks every quarter of an hour
        asked = time.monotonic()
        handle.force_dht_announce()
    for alert in session.pop_alerts():
        print("%.3f %s" % (time.monotonic() - begin, alert.message()), file=sys.stderr, flush=True)
        flushed = flushed or finished and isinstance(alert, lt.cache_flushed_alert)
    status = handle.status()
    if status.errc.value():
        say("error", status.errc.message())
        os._exit(1)
    if status.has_metadata and not known:
        known = True
        say("metadata", "%.2f" % (time.monotonic() - begin))
    if status.is_seeding and not finished:
        finished = True
        say("seeding" if config.get("seed") else "finished", "%.2f" % (time.monotonic() - begin))
        handle.flush_cache()  # the last blocks may still be on their way to the files
    if flushed and not config.get("seed") and not config.get("stay"):
        os._exit(0)
