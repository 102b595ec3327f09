package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"shoal/internal/swarmtest"
)

// transmission starts the daemon, with uTP off: 3.00 tries it first, and after our reset it takes
// two minutes to come back over TCP.
//
// It runs on a host of a network (it refuses peers on loopback) and adds a
// torrent with its content in dir. The name of the file that is returned comes to be when the
// download is done. encryption is 0 for tolerated, 1 for preferred (its default), 2 for required.
func transmission(t *testing.T, h *swarmtest.Host, torrent, dir string, encryption int) (done string) {
	t.Helper()
	config := t.TempDir()
	done = filepath.Join(config, "done")
	script := write(t, filepath.Join(config, "done.sh"), "#!/bin/sh\ntouch '"+done+"'\n", 0o755)
	write(t, filepath.Join(config, "settings.json"), lines(`
{
	"download-dir": %[1]q, "incomplete-dir-enabled": false, "rename-partial-files": true,
	"dht-enabled": false, "lpd-enabled": false, "pex-enabled": false, "utp-enabled": false, "port-forwarding-enabled": false,
	"peer-port": 51413, "rpc-enabled": true, "rpc-port": 9091, "rpc-bind-address": "127.0.0.1", "rpc-whitelist-enabled": false,
	"script-torrent-done-enabled": true, "script-torrent-done-filename": %[2]q,
	"cache-size-mb": 4, "ratio-limit-enabled": false, "start-added-torrents": true, "encryption": %[3]d
}
`, dir, script, encryption), 0o600)
	h.StartProgram("transmission-daemon", "--foreground", "--config-dir", config, "--log-info")
	eventually(t, func() error {
		if p := h.StartProgram("transmission-remote", "127.0.0.1:9091", "--add", torrent); p.Wait() != 0 {
			return fmt.Errorf("adding the torrent: %s", p.Output())
		}
		return nil
	})
	return done
}

// network is a network with an origin's host and another's.
func network(t *testing.T) (ours, theirs *swarmtest.Host) {
	t.Helper()
	n := swarmtest.NewNetwork(t)
	return n.Host(), n.Host()
}

func TestTransmissionFetches(t *testing.T) {
	swarmtest.Require(t, "netns", "ip", "transmission-daemon", "transmission-remote")
	t.Parallel()
	for _, door := range []string{"HTTP"} {
		t.Run("by a tracker over "+door, func(t *testing.T) {
			ours, theirs := network(t)
			content := swarmtest.Tree(t, ours.Path("release"), size)
			http, udp := tracker(ours)
			torrent := create(t, ours, content, "v1", "--tracker", map[string]string{"HTTP": http, "UDP": udp}[door])
			seed(ours, torrent, content)
			out := theirs.Path("out")
			timed(t, "transmission", func() {
				done := transmission(t, theirs, torrent, out, 1)
				eventually(t, func() error { _, err := os.Stat(done); return err })
			})
			swarmtest.Same(t, content, filepath.Join(out, "release"), swarmtest.AnyMode, swarmtest.NoEmpty)
		})
	}
}

// By the tracker alone: who comes back to Transmission soon after is kept waiting by its own timers.
func TestTransmissionSeeds(t *testing.T) {
	swarmtest.Require(t, "netns", "ip", "transmission-daemon", "transmission-remote")
	t.Parallel()
	ours, theirs := network(t)
	content := swarmtest.Tree(t, theirs.Path("release"), size)
	http, _ := tracker(ours)
	torrent := create(t, ours, content, "v1", "--tracker", http)
	transmission(t, theirs, torrent, theirs.Dir, 1)
	timed(t, "get by the tracker", func() { get(t, ours, torrent, content) })
}

// What serve prints is what somebody else types, on another machine.
func TestPrintedLineWorksElsewhere(t *testing.T) {
	swarmtest.Require(t, "netns", "ip")
	ours, theirs := network(t)
	content := swarmtest.Tree(t, ours.Path("release"), size)
	serve := ours.Start("serve", content) // on all addresses and the usual port
	line := serve.Expect("serving").String("get")
	if want := "shoal get http://198.18.0.1:7070/release"; line != want {
		t.Errorf("serve prints %q, want %q", line, want)
	}
	theirs.Do("sh", "-c", line)
	swarmtest.Same(t, content, theirs.Path("release"))
	// The magnet link and the .torrent as others use them; the tracker knows the origin's real address.
	magnet := serve.Expect("serving").String("magnet")
	get(t, theirs, magnet, content)
	e := serve.Expect("serving")
	get(t, theirs, e.String("torrent"), content)
	bare := create(t, theirs, content, "hybrid", "--tracker", "http://198.18.0.1:7070/announce")
	if done := get(t, theirs, bare, content); done.Int("from.origin") != done.Int("bytes") {
		t.Errorf("%v: want all from the origin, which the tracker knows", done)
	}
}
