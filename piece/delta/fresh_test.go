package delta

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestNoiseAgain: among new bytes that are noise, those that come again are found, wherever they begin.
func TestNoiseAgain(t *testing.T) {
	const block, blocks = 1001, 300
	dir := t.TempDir()
	once := pattern(block*blocks, 1)
	again := bytes.Clone(once)
	random := rand.New(rand.NewPCG(1, 2))
	for i, j := range random.Perm(blocks) {
		again = append(again, once[j*block:][:block-i%7]...)
	}
	old := version(t, dir, map[string][]byte{"a": []byte("one")})
	new := version(t, dir, map[string][]byte{"a": again})
	patch := diff(t, old, new, Options{})
	mustApply(t, old, new, patch)
	if most := len(once) + len(once)/20; len(patch) > most {
		t.Errorf("the patch has %d bytes, want at most %d", len(patch), most)
	}
}

// TestForget: when the beginning of a long text is given up, what comes after it is still found, where it is then.
func TestForget(t *testing.T) {
	const at, n = freshWindow + 3<<20, 1000
	text := make([]byte, 2*freshWindow, 2*freshWindow+n)
	copy(text[at:], pattern(n, 1))
	text = append(text, pattern(n, 1)...)
	var f repeatFinder
	f.grow(text)
	f.entered = at
	f.advance(at + n)
	f.entered = 2 * freshWindow
	f.forget()
	f.grow(text[freshWindow:])
	want := repeat{length: n, distance: 2*freshWindow - at}
	if got := f.best(newFreshCodec(), freshWindow); got.length != want.length || got.distance != want.distance {
		t.Errorf("%d bytes are found %d before, want %d, %d before", got.length, got.distance, want.length, want.distance)
	}
}
