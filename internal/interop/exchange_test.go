package interop

import (
	"fmt"
	"path/filepath"
	"testing"

	"shoal/internal/swarmtest"
)

// Peer exchange with libtorrent: each learns of a third from the other, and of nobody else.
func TestPeerExchange(t *testing.T) {
	python(t)
	t.Run("shoal tells", func(t *testing.T) {
		t.Parallel()
		h := swarmtest.Local(t)
		content := swarmtest.File(t, h.Path("release.bin"), size)
		torrent := create(t, h, content, "hybrid")
		source := seed(h, torrent, content)
		// The hub gets nothing on: its limit is too low. It knows the source.
		hub := fmt.Sprintf("127.0.0.1:%d", h.FreePort())
		h.Start("get", torrent, "-o", h.Path("hub"), "--peer", source, "--listen", hub, "--limit-down", "1K", "--peers", "all").Expect("start")
		leechLibtorrent(t, h, content, client{Source: torrent, Peers: []string{hub}, PEX: true})
	})
	t.Run("libtorrent tells", func(t *testing.T) {
		t.Parallel()
		h := swarmtest.Local(t)
		content := swarmtest.File(t, h.Path("release.bin"), size)
		torrent := create(t, h, content, "hybrid")
		source := seed(h, torrent, content)
		dir := t.TempDir()
		hub := libtorrent(t, h, client{Source: torrent, Dir: dir, Peers: []string{source}, PEX: true, Slow: 1000})
		port := hub.ExpectLine(`^listening (\d+)`)[1]
		get(t, h, torrent, content, "--peer", "127.0.0.1:"+port)
	})
}

// Discovery on the LAN with libtorrent, both ways, in a network without a way out.
func TestLibtorrentNeighbours(t *testing.T) {
	python(t)
	lsd := map[string]any{"enable_lsd": true}
	t.Run("it fetches", func(t *testing.T) {
		t.Parallel()
		hosts := lanNetwork(t, 2)
		content := swarmtest.Tree(t, hosts[0].Path("release"), size)
		torrent := create(t, hosts[0], content, "hybrid")
		hosts[0].Start("seed", torrent, content).Expect("seeding")
		leechLibtorrent(t, hosts[1], content, client{Source: torrent, LSD: true, Settings: lsd})
	})
	t.Run("it seeds", func(t *testing.T) {
		t.Parallel()
		hosts := lanNetwork(t, 2)
		content := swarmtest.Tree(t, hosts[0].Path("release"), size)
		torrent := create(t, hosts[0], content, "hybrid")
		out := hosts[1].Path("out")
		p := hosts[1].Start("get", torrent, "-o", out)
		p.Expect("start")
		libtorrent(t, hosts[0], client{Source: torrent, Dir: hosts[0].Dir, Seed: true, LSD: true, Settings: lsd})
		done := p.Expect("done")
		swarmtest.Same(t, content, filepath.Join(out, "release"))
		if done.Int("from.lan") == 0 { // it may have come to us before we heard it
			t.Errorf("%v: want it from the LAN", done)
		}
	})
}
