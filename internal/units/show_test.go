package units

import (
	"math"
	"testing"
)

func TestShow(t *testing.T) {
	for _, c := range []struct {
		n    int64
		want string
	}{
		{-1, "0 B"}, {0, "0 B"}, {1023, "1023 B"}, {1024, "1.0 KiB"}, {1536, "1.5 KiB"}, {10 << 10, "10 KiB"}, {10<<20 - 1, "10 MiB"},
		{5<<20 + 300<<10, "5.3 MiB"}, {100 << 30, "100 GiB"}, {math.MaxInt64, "8.0 EiB"},
	} {
		if got := Show(c.n); got != c.want {
			t.Errorf("Show(%d) = %q, want %q", c.n, got, c.want)
		}
	}
}
