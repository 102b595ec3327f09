package interop

import (
	"fmt"
	"path/filepath"
	"testing"

	"shoal/internal/swarmtest"
)

// aria2 starts the client for a source: a .torrent, its URL, or a magnet link.
func aria2(h *swarmtest.Host, source, dir string, args ...string) *swarmtest.Process {
	return h.StartProgram("aria2c", append([]string{"--no-conf", "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false",
		"--enable-peer-exchange=false", "--disable-ipv6=true", "--async-dns=false", "--file-allocation=none", "--follow-torrent=mem",
		"--show-console-readout=false", "--summary-interval=0", "--allow-overwrite=true", "--auto-save-interval=0",
		"--listen-port=" + fmt.Sprint(h.FreePort()), "--dir=" + dir, "--log=-", "--log-level=info", source}, args...)...)
}

// leechAria2 fetches with aria2 and compares.
func leechAria2(t *testing.T, h *swarmtest.Host, source, content string, args ...string) {
	t.Helper()
	out := t.TempDir()
	timed(t, "aria2", func() { aria2(h, source, out, append(args, "--seed-time=0")...).Succeed() })
	swarmtest.Same(t, content, filepath.Join(out, filepath.Base(content)), swarmtest.AnyMode, swarmtest.PadFiles)
}

func TestAria2Fetches(t *testing.T) {
	swarmtest.Require(t, "interop", "aria2c", "curl")
	t.Parallel()
	t.Run("hybrid by the URL of serve", func(t *testing.T) {
		t.Parallel()
		h := swarmtest.Local(t)
		s := serve(h, swarmtest.File(t, h.Path("release.bin"), size))
		leechAria2(t, h, s.torrent, s.content)
	})
	t.Run("hybrid tree by the URL of serve", func(t *testing.T) {
		t.Parallel()
		h := swarmtest.Local(t)
		s := serve(h, swarmtest.Tree(t, h.Path("release"), size))
		leechAria2(t, h, s.torrent, s.content)
	})
	for _, format := range aria2Formats {
		t.Run(format+" by a tracker over HTTP", func(t *testing.T) {
			t.Parallel()
			h := swarmtest.Local(t)
			content := swarmtest.Tree(t, h.Path("release"), size)
			http, _ := tracker(h)
			torrent := create(t, h, content, format, "--tracker", http)
			seed(h, torrent, content)
			leechAria2(t, h, torrent, content)
		})
		t.Run(format+" by a magnet link", func(t *testing.T) {
			t.Parallel()
			h := swarmtest.Local(t)
			content := swarmtest.Tree(t, h.Path("release"), size)
			http, _ := tracker(h)
			torrent := create(t, h, content, format, "--tracker", http)
			seed(h, torrent, content)
			leechAria2(t, h, h.Run("inspect", torrent).Succeed().Expect("torrent").String("magnet"), content)
		})
	}
	t.Run("by a tracker over UDP", func(t *testing.T) {
		t.Parallel()
		h := swarmtest.Local(t)
		content := swarmtest.Tree(t, h.Path("release"), size)
		_, udp := tracker(h)
		// aria2 speaks UDP with its DHT on only. It has no way into one, and may not use it for what is private.
		torrent := create(t, h, content, "v1", "--tracker", udp, "--private")
		seed(h, torrent, content)
		leechAria2(t, h, torrent, content, "--enable-dht=true", "--dht-file-path="+h.Path("dht.dat"), fmt.Sprintf("--dht-listen-port=%d", h.FreePort()))
	})
	t.Run("by the magnet link of serve", func(t *testing.T) {
		t.Parallel()
		h := swarmtest.Local(t)
		s := serve(h, swarmtest.File(t, h.Path("release.bin"), size))
		leechAria2(t, h, s.magnet, s.content)
	})
}

// aria2Formats are those it knows. A hybrid has a name of its own for aria2 1.36 (see piece.Info.AliasV1).
var aria2Formats = []string{"v1", "hybrid"}

func TestAria2Seeds(t *testing.T) {
	swarmtest.Require(t, "interop", "aria2c")
	t.Parallel()
	for _, format := range aria2Formats {
		t.Run(format, func(t *testing.T) {
			h := swarmtest.Local(t)
			content := swarmtest.Tree(t, h.Path("release"), size)
			if format == "hybrid" { // to seed a tree it would need the padding as files
				content = swarmtest.File(t, h.Path("release.bin"), size)
			}
			http, udp := tracker(h)
			torrent := create(t, h, content, format, "--tracker", http)
			port := fmt.Sprint(h.FreePort())
			seeder := aria2(h, torrent, h.Dir, "--listen-port="+port, "--check-integrity=true", "--seed-ratio=0")
			seeder.ExpectLine("listening on TCP port " + port)
			timed(t, "get by the tracker", func() { get(t, h, torrent, content) })
			timed(t, "get by a peer", func() { get(t, h, create(t, h, content, format), content, "--peer", "127.0.0.1:"+port) })
			if format == "hybrid" {
				return // a magnet link does not say the name that aria2 has for it
			}
			magnet := h.Run("inspect", create(t, h, content, format, "--tracker", udp)).Succeed().Expect("torrent").String("magnet")
			timed(t, "get by a magnet link", func() { get(t, h, magnet+"&x.pe=127.0.0.1:"+port, content) })
		})
	}
}
