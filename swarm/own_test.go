package swarm

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"shoal/piece"
)

// What is wrong of a file that is the caller's own is put right in the file itself, whatever its length; one that has another name is left alone, and replaced by a copy.
func TestOwnFilesAreMendedInPlace(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	want := []byte(random(size, 1))
	tor, path := makeTree(t, tree{"a": random(size, 1)}, piece.BuildConfig{PieceLength: 64 << 10})
	url, _ := webServer(t, tor, path, nil)
	for name, c := range map[string]struct {
		length        int
		linked, reuse bool
	}{
		"wrong bytes":   {size, false, true},
		"too long":      {size + 70_000, false, true},
		"too short":     {size / 2, false, true},
		"another name":  {size, true, true},
		"nothing right": {0, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file, other := filepath.Join(dir, tor.Name, "a"), filepath.Join(dir, "other")
			old := append(bytes.Clone(want), make([]byte, size)...)[:c.length]
			if c.length == 0 {
				old = []byte(random(size, 2))
			}
			copy(old[5:], "not what it was")
			for _, err := range []error{os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, old, 0o444)} {
				if err != nil {
					t.Fatal(err)
				}
			}
			if c.linked {
				if runtime.GOOS == "windows" {
					t.Skip("no count of names")
				}
				if err := os.Link(file, other); err != nil {
					t.Skip(err)
				}
			}
			before, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			tr := add(t, newMachine(t, Config{}), Spec{Torrent: tor, Dir: dir, Own: true, WebSeeds: []string{url}})
			wait(t, tr, 40*time.Second)
			s := tr.Stats()
			tr.Close()
			got, err := os.ReadFile(file)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d bytes, which are not what was wanted: %v", len(got), err)
			}
			after, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			if same := os.SameFile(before, after); same == c.linked {
				t.Errorf("it is the same file: %v", same)
			}
			if now, err := os.ReadFile(other); c.linked && (err != nil || !bytes.Equal(now, old)) {
				t.Errorf("what has the other name was changed: %v", err)
			}
			if (s.From[Reuse] > 0) != c.reuse {
				t.Errorf("%d bytes were reused", s.From[Reuse])
			}
		})
	}
}
