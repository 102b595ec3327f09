# Drives libtorrent for the lab: python3 -c … '{"torrent": …, "dir": …, "address": …, "seed": …, "stay": …}'
# Says "finished" when everything is verified and written.
import json, os, signal, sys
import libtorrent as lt

config = json.loads(sys.argv[1])
for s in (signal.SIGINT, signal.SIGTERM):
    signal.signal(s, lambda *_: os._exit(0))
settings = {
    "listen_interfaces": config["address"] + ":6881",
    "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
    "enable_outgoing_utp": False, "enable_incoming_utp": False, "out_enc_policy": 2, "in_enc_policy": 2,
    "alert_mask": lt.alert.category_t.status_notification | lt.alert.category_t.error_notification | lt.alert.category_t.storage_notification,
}
session = lt.session(settings, 0)
params = lt.add_torrent_params()
params.ti = lt.torrent_info(config["torrent"])
params.trackers = [t.url for t in params.ti.trackers()]
params.save_path = config["dir"]
params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
params.flags |= lt.torrent_flags.disable_dht | lt.torrent_flags.disable_lsd | lt.torrent_flags.disable_pex
handle = session.add_torrent(params)
finished = False
while True:
    session.wait_for_alert(20)
    for alert in session.pop_alerts():
        print(alert.message(), file=sys.stderr, flush=True)
        if finished and not config["stay"] and isinstance(alert, lt.cache_flushed_alert):
            os._exit(0)
    status = handle.status()
    if status.errc.value():
        print("error", status.errc.message(), file=sys.stderr, flush=True)
        os._exit(1)
    if status.is_seeding and not finished:
        finished = True
        print("finished", flush=True)
        handle.flush_cache()
