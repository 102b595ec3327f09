package swarm

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"shoal/piece"
)

// TestReuseNeverDiffers: whatever is copied for a file, and in whatever order, a piece counts only if the bytes on the disk are the right ones.
func TestReuseNeverDiffers(t *testing.T) {
	x, files := partsTree(t, piece.V2)
	p, err := newMachine(t, Config{}).Parts(t.TempDir(), x.Info)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	source := filepath.Join(t.TempDir(), "source")
	names := []string{"a/long", "a/short", "b/exact"}
	random := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		from, to := names[random.IntN(3)], names[random.IntN(3)]
		b := bytes.Clone(files[from])
		at := random.IntN(len(b))
		change := random.IntN(4)
		switch change {
		case 0:
			b[at] ^= byte(1 + random.IntN(255))
		case 1:
			b = b[:at]
		case 2:
			b = append(b[:at:at], append([]byte("more"), b[at:]...)...)
		}
		if err := os.WriteFile(source, b, 0o644); err != nil {
			t.Fatal(err)
		}
		src, err := os.Open(source)
		if err != nil {
			t.Fatal(err)
		}
		err = p.Copy(t.Context(), indexOf(t, x.Info, to), src)
		src.Close()
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range files {
			first, end := x.FilePieces(indexOf(t, x.Info, name))
			for k := first; k < end; k++ {
				at := int64(k-first) * x.PieceLength
				right := want[at : at+x.PieceLen(k)]
				got := make([]byte, len(right))
				if p.have.has(k) && (p.store.ReadAt(got, int64(k)*x.PieceLength) != nil || !bytes.Equal(got, right)) {
					t.Fatalf("after %s with change %d was copied to %s: %s from %d counts, but other bytes lie there", from, change, to, name, at)
				}
			}
		}
	}
}
