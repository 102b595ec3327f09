package swarm

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"shoal/piece"
)

// What was written before the piece layers were known counts by piece once they are, as it lies on the disk then.
func TestPartsAreDescribedLater(t *testing.T) {
	for _, format := range []piece.Format{piece.Hybrid, piece.V2} {
		t.Run(format.String(), func(t *testing.T) {
			x, files := partsTree(t, format)
			other, _, _ := makeContent(t, 100_000, piece.BuildConfig{Format: format})
			dir, m := t.TempDir(), newMachine(t, Config{})
			p, err := m.Parts(dir, bare(t, x))
			if err != nil {
				t.Fatal(err)
			}
			long, exact := indexOf(t, x.Info, "a/long"), indexOf(t, x.Info, "b/exact")
			bad := bytes.Clone(files["a/long"])
			bad[40_000] ^= 1 // its second piece
			put(t, p, long, bad)
			put(t, p, exact, files["b/exact"][:40_000]) // a patch that ends there
			put(t, p, indexOf(t, x.Info, "a/short"), files["a/short"])
			if n := p.Missing(); n != x.Length-5 {
				t.Errorf("%d bytes missing, want all but the file that has one piece: %d", n, x.Length-5)
			}
			part, err := os.OpenFile(filepath.Join(dir, p.store.part(long)), os.O_WRONLY, 0) // somebody else writes to its last piece
			if err != nil {
				t.Fatal(err)
			}
			_, err = part.WriteAt([]byte("x"), 149_000)
			if err := errors.Join(err, part.Close()); err != nil {
				t.Fatal(err)
			}
			if err := p.Describe(t.Context(), other.Info); !errors.Is(err, piece.ErrCorrupt) {
				t.Errorf("the description of something else: %v, want ErrCorrupt", err)
			}
			if err := p.Describe(t.Context(), x.Info); err != nil {
				t.Fatal(err)
			}
			lacking := int64(32<<10 + 150_000%(32<<10) + 32<<10) // the second and the last piece of one file, and the second of the other
			if n := p.Missing(); n != lacking || p.Has(long) {
				t.Errorf("%d bytes missing, want %d: what was wrong when it was written, or changed since, or never came", n, lacking)
			}
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}

			content := t.TempDir()
			for name, b := range files {
				path := filepath.Join(content, filepath.FromSlash(name))
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			seed := newMachine(t, Config{})
			add(t, seed, Spec{Torrent: x, Content: content})
			tr := add(t, m, Spec{Torrent: x, Dir: dir, Peers: []string{seed.addr}})
			wait(t, tr, 30*time.Second)
			lacking -= piece.BlockSize // the first block of that last piece is as it was written, and its leaf was right
			if s := tr.Stats(); fetched(s) != lacking {
				t.Errorf("%d bytes fetched, want %d", fetched(s), lacking)
			}
			for name, b := range files {
				sameFile(t, filepath.Join(dir, "tree", filepath.FromSlash(name)), b)
			}
		})
	}
}
