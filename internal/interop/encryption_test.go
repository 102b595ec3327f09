package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"shoal/internal/swarmtest"
)

// Encrypted connections, in both directions, with those who take nothing else. Where we take
// nothing else either, what arrives has come encrypted; where we prefer, we have found out.

// aria2Crypto has aria2 take RC4 alone.
var aria2Crypto = []string{"--bt-require-crypto=true", "--bt-min-crypto-level=arc4"}

func TestAria2Encrypted(t *testing.T) {
	swarmtest.Require(t, "interop", "aria2c")
	t.Parallel()
	for _, how := range []string{"prefer", "require"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			h := swarmtest.Local(t)
			content := swarmtest.File(t, h.Path("release.bin"), size)
			http, _ := tracker(h)
			torrent := create(t, h, content, "hybrid", "--tracker", http)
			ours := h.Start("seed", torrent, content, "--listen", "127.0.0.1:0", "--encryption", how)
			ours.Expect("seeding")
			leechAria2(t, h, torrent, content, aria2Crypto...)
			ours.Stop()
			port := fmt.Sprint(h.FreePort())
			seeder := aria2(h, torrent, h.Dir, append(aria2Crypto, "--listen-port="+port, "--check-integrity=true", "--seed-ratio=0")...)
			seeder.ExpectLine("listening on TCP port " + port)
			timed(t, "get", func() {
				get(t, h, create(t, h, content, "hybrid"), content, "--peer", "127.0.0.1:"+port, "--encryption", how)
			})
		})
	}
}

// ltCrypto are libtorrent's settings: its policies are 0 for forced, 1 for enabled and 2 for disabled, its
// levels 1 for a handshake with plaintext behind, 2 for RC4, 3 for both.
func ltCrypto(policy, level int) map[string]any {
	return map[string]any{"in_enc_policy": policy, "out_enc_policy": policy, "allowed_enc_level": level}
}

func TestLibtorrentEncrypted(t *testing.T) {
	python(t)
	for name, c := range map[string]struct {
		how      string
		settings map[string]any
	}{
		"prefer, RC4 forced":       {"prefer", ltCrypto(0, 2)},
		"prefer, plaintext behind": {"prefer", ltCrypto(0, 1)},
		"prefer, disabled":         {"prefer", ltCrypto(2, 3)},
		"require, RC4 forced":      {"require", ltCrypto(0, 2)},
		"require, enabled":         {"require", ltCrypto(1, 3)},
		"off, enabled":             {"off", ltCrypto(1, 3)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := swarmtest.Local(t)
			content := swarmtest.Tree(t, h.Path("release"), size)
			torrent := create(t, h, content, "hybrid")
			peer := seed(h, torrent, content, "--encryption", c.how)
			leechLibtorrent(t, h, content, client{Source: torrent, Peers: []string{peer}, Settings: c.settings})
			p := libtorrent(t, h, client{Source: torrent, Dir: h.Dir, Seed: true, Settings: c.settings})
			other := "127.0.0.1:" + p.ExpectLine(`^listening (\d+)`)[1]
			p.ExpectLine("^seeding")
			get(t, h, torrent, content, "--peer", other, "--encryption", c.how)
		})
	}
}

func TestTransmissionEncrypted(t *testing.T) {
	swarmtest.Require(t, "netns", "ip", "transmission-daemon", "transmission-remote")
	const required = 2
	t.Run("it fetches", func(t *testing.T) {
		t.Parallel()
		ours, theirs := network(t)
		content := swarmtest.Tree(t, ours.Path("release"), size)
		http, _ := tracker(ours)
		torrent := create(t, ours, content, "v1", "--tracker", http)
		seed(ours, torrent, content, "--encryption", "require")
		out := theirs.Path("out")
		done := transmission(t, theirs, torrent, out, required)
		eventually(t, func() error { _, err := os.Stat(done); return err })
		swarmtest.Same(t, content, filepath.Join(out, "release"), swarmtest.AnyMode, swarmtest.NoEmpty)
	})
	for _, how := range []string{"prefer", "require"} {
		t.Run("it seeds, "+how, func(t *testing.T) {
			t.Parallel()
			ours, theirs := network(t)
			content := swarmtest.Tree(t, theirs.Path("release"), size)
			http, _ := tracker(ours)
			torrent := create(t, ours, content, "v1", "--tracker", http)
			transmission(t, theirs, torrent, theirs.Dir, required)
			get(t, ours, torrent, content, "--encryption", how)
		})
	}
}
