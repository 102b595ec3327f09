package swarm

import (
	"path/filepath"
	"testing"
	"time"

	"shoal/piece"
)

// Slow sources hold nobody up: what they are at goes to the fast one as soon as it has room, a
// block at a time, even when pieces are large; and little comes twice.
func TestSlowSourcesHoldNobodyUp(t *testing.T) {
	for _, f := range both {
		t.Run(f.String(), func(t *testing.T) {
			tor, path, want := makeContent(t, 32<<20, piece.BuildConfig{Format: f, PieceLength: 4 << 20})
			var peers []string
			for i := range 5 {
				cfg := Config{LimitUp: 64 << 10}
				if i == 0 {
					cfg = Config{LimitUp: 32 << 20}
				}
				s := newMachine(t, cfg)
				add(t, s, Spec{Torrent: tor, Content: path})
				peers = append(peers, s.addr)
			}
			m := newMachine(t, Config{})
			dir := t.TempDir()
			began := time.Now()
			tr := add(t, m, Spec{Torrent: tor, Dir: dir, Peers: peers})
			wait(t, tr, 30*time.Second)
			took := time.Since(began)
			sameFile(t, filepath.Join(dir, "release.bin"), want)
			s := tr.Stats()
			t.Logf("%v, %d bytes twice", took, s.Wasted)
			if s.Wasted > 1<<20 {
				t.Errorf("%d bytes came twice", s.Wasted)
			}
			// A slow source would need more than a minute for its piece.
			if took > 15*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}
