package delta

import (
	"slices"
	"testing"
)

// TestUnlike: for what has little in common with old content no suffixes are sorted, and long stretches of it are found all the same.
func TestUnlike(t *testing.T) {
	const stretch, stretches = 2 << 10, 10
	old := pattern(1<<20, 1)
	for _, c := range []struct {
		name  string
		noise int // between stretches
		sorts bool
	}{
		{"noise with some stretches", 50 << 10, false},
		{"stretches with some noise", 1 << 10, true},
	} {
		var new []byte
		for i := range stretches {
			new = slices.Concat(new, pattern(c.noise+i, byte(2+i)), old[(i*7%10)*100_000:][:stretch])
		}
		if copied := matched(t, c.name, old, new, c.sorts); copied < stretch*stretches {
			t.Errorf("%s: %d bytes are copied, want %d", c.name, copied, stretch*stretches)
		}
	}
}

// TestNearlyTheSame: nothing is sorted either for what has only few bytes that are not in the old content, and all others are found.
func TestNearlyTheSame(t *testing.T) {
	old := pattern(1<<20, 1)
	changed := func(n, every int) []byte {
		b := slices.Clone(old)
		for i := range n {
			b[10_000+i*every] ^= 0x55
		}
		return b
	}
	for _, c := range []struct {
		name   string
		new    []byte
		copied int
		sorts  bool
	}{
		{"some bytes differ", changed(100, 5000), 1 << 20, false},
		{"bytes differ everywhere", changed(5000, 200), 1 << 20, true},
		{"bytes are inserted", slices.Concat(old[:1000], pattern(50, 2), old[1000:500_000], pattern(50, 3), old[500_000:]), 1 << 20, false},
		{"halves are exchanged", slices.Concat(old[1<<19:], old[:1<<19]), 1 << 20, false},
		{"bytes are appended", slices.Concat(old, pattern(200, 2)), 1 << 20, false},
		{"a block is appended", slices.Concat(old, pattern(4<<10, 2)), 1 << 20, true},
		{"a block is another", slices.Concat(old[:1000], pattern(4<<10, 2), old[1000+4<<10:]), 1<<20 - 4<<10, true},
	} {
		if copied := matched(t, c.name, old, c.new, c.sorts); copied < c.copied {
			t.Errorf("%s: %d bytes are copied, want %d", c.name, copied, c.copied)
		}
	}
}

// matched is how many bytes of new are copied from old, with differences. sorts says whether suffixes are to be sorted for it.
func matched(t *testing.T, name string, old, new []byte, sorts bool) (copied int) {
	x := newIndex(old)
	n := 0
	if err := x.match(t.Context(), new, 0, func() {}, func(o op) {
		copied += o.copied
		n += o.copied + o.new
	}); err != nil {
		t.Fatal(err)
	}
	if n != len(new) {
		t.Errorf("%s: ops make %d bytes of %d", name, n, len(new))
	}
	if sorted := x.sorted != nil; sorted != sorts {
		t.Errorf("%s: suffixes are sorted: %v, want %v", name, sorted, sorts)
	}
	return copied
}
