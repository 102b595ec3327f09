package delta

import (
	"context"
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
		x := newIndex(old)
		copied := 0
		if err := x.match(context.Background(), new, 0, func() {}, func(o op) { copied += o.copied }); err != nil {
			t.Fatal(err)
		}
		if sorts := x.sorted != nil; sorts != c.sorts {
			t.Errorf("%s: suffixes are sorted: %v, want %v", c.name, sorts, c.sorts)
		}
		if least := stretch * stretches; copied < least {
			t.Errorf("%s: %d bytes are copied, want %d", c.name, copied, least)
		}
	}
}
