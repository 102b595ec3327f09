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

// Of files that stand in their places, what is right stays: whole files as they are, of others the pieces. The rest comes from a copy, or from the net.
func TestFilesInPlaceAreAdopted(t *testing.T) {
	for _, format := range []piece.Format{piece.Hybrid, piece.V2} {
		t.Run(format.String(), func(t *testing.T) {
			x, files := partsTree(t, format)
			dir := t.TempDir()
			place := func(name string, b []byte) string {
				path := filepath.Join(dir, "tree", filepath.FromSlash(name))
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o644)); err != nil {
					t.Fatal(err)
				}
				return path
			}
			bad := bytes.Clone(files["a/long"])
			bad[10] ^= 1     // its first piece
			bad[40_000] ^= 1 // its second
			place("a/long", append(bad, "more"...))
			place("a/short", []byte("shore"))
			exact := place("b/exact", files["b/exact"])
			was, err := os.Stat(exact)
			if err != nil {
				t.Fatal(err)
			}

			m := newMachine(t, Config{})
			p, err := m.Parts(dir, x.Info)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Adopt(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			if n := p.Missing(); n != 64<<10+5 || !p.Has(indexOf(t, x.Info, "b/exact")) {
				t.Errorf("%d bytes missing, want the two bad pieces and the short file: %d", n, 64<<10+5)
			}
			old := filepath.Join(t.TempDir(), "old") // it has the first piece alone
			if err := os.WriteFile(old, append(bytes.Clone(files["a/long"][:32<<10]), make([]byte, 100_000)...), 0o644); err != nil {
				t.Fatal(err)
			}
			src, err := os.Open(old)
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			if err := p.Copy(t.Context(), indexOf(t, x.Info, "a/long"), src); err != nil {
				t.Fatal(err)
			}
			if n := p.Missing(); n != 32<<10+5 {
				t.Errorf("%d bytes missing after a copy, want a bad piece and the short file: %d", n, 32<<10+5)
			}
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}

			seed := newMachine(t, Config{})
			full := t.TempDir()
			for name, b := range files {
				path := filepath.Join(full, "tree", filepath.FromSlash(name))
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			add(t, seed, Spec{Torrent: x, Content: filepath.Join(full, "tree")})
			tr := add(t, m, Spec{Torrent: x, Dir: dir, Peers: []string{seed.addr}})
			wait(t, tr, 30*time.Second)
			if s := tr.Stats(); fetched(s) != 32<<10+5 || s.From[Reuse] != x.Length-(32<<10+5) {
				t.Errorf("%d bytes fetched and %d reused, want %d and all else", fetched(s), s.From[Reuse], 32<<10+5)
			}
			for name, b := range files {
				sameFile(t, filepath.Join(dir, "tree", filepath.FromSlash(name)), b)
			}
			if is, err := os.Stat(exact); err != nil || !os.SameFile(was, is) || !is.ModTime().Equal(was.ModTime()) {
				t.Errorf("a file that was right was written anew: %v", err)
			}
		})
	}
}
