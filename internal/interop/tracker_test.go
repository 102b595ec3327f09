package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"shoal/internal/swarmtest"
)

// Clients of others find each other by our tracker alone: one has the content, the others want it, and none of them is shoal.
func TestClientsFindEachOther(t *testing.T) {
	swarmtest.Require(t, "netns", "ip", "aria2c", "transmission-daemon", "transmission-remote", "qbittorrent-nox")
	python(t)
	t.Parallel()
	for _, door := range []string{"HTTP", "UDP"} {
		t.Run("over "+door, func(t *testing.T) {
			t.Parallel()
			n := swarmtest.NewNetwork(t)
			at := n.Host()
			http, udp := tracker(at)
			content := swarmtest.File(t, at.Path("release.bin"), size)
			torrent := create(t, at, content, "v1", "--tracker", map[string]string{"HTTP": http, "UDP": udp}[door])
			seeder := n.Host()
			libtorrent(t, seeder, client{Source: torrent, Dir: at.Dir, Seed: true}).ExpectLine("^seeding")
			dirs := map[string]string{}
			start := func(name string, run func(h *swarmtest.Host, dir string)) {
				h := n.Host()
				dirs[name] = h.Path("out")
				run(h, dirs[name])
			}
			start("transmission", func(h *swarmtest.Host, dir string) { transmission(t, h, torrent, dir, 1) })
			start("qbittorrent", func(h *swarmtest.Host, dir string) { qbittorrent(t, h, torrent, dir) })
			start("libtorrent", func(h *swarmtest.Host, dir string) {
				if err := os.Mkdir(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				c := client{Source: torrent, Dir: dir, Stay: true}
				libtorrent(t, h, c)
			})
			if door == "HTTP" { // aria2 asks trackers over UDP only where its DHT is on
				start("aria2", func(h *swarmtest.Host, dir string) { aria2InNetwork(h, torrent, dir) })
			}
			for name, dir := range dirs {
				eventually(t, func() error {
					if problem := swarmtest.Compare(content, filepath.Join(dir, "release.bin")); problem != "" {
						return fmt.Errorf("%s: %s", name, problem)
					}
					return nil
				})
			}
		})
	}
}

// aria2InNetwork starts aria2 where its port is free for sure.
func aria2InNetwork(h *swarmtest.Host, source, dir string) *swarmtest.Process {
	return h.StartProgram("aria2c", "--no-conf", "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false", "--enable-peer-exchange=false",
		"--disable-ipv6=true", "--async-dns=false", "--file-allocation=none", "--show-console-readout=false", "--summary-interval=0",
		"--listen-port=6881", "--seed-time=60", "--dir="+dir, "--log=-", "--log-level=info", source)
}

// qbittorrent starts qBittorrent without its own ways of finding peers.
func qbittorrent(t *testing.T, h *swarmtest.Host, torrent, dir string) {
	t.Helper()
	profile := h.Path("profile")
	if err := os.MkdirAll(filepath.Join(profile, "qBittorrent", "config"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(profile, "qBittorrent", "config", "qBittorrent.conf"), lines(`
[LegalNotice]
Accepted=true
[BitTorrent]
Session\DHTEnabled=false
Session\LSDEnabled=false
Session\PeXEnabled=false
Session\Port=16881
[Preferences]
WebUI\Enabled=false
`), 0o600)
	h.StartProgram("qbittorrent-nox", "--profile="+profile, "--save-path="+dir, "--skip-dialog=true", torrent)
}
