package sim

import (
	"os"
	"strconv"
	"testing"
)

// BenchmarkCrowd is one run of a crowd: 60 machines, or SHOAL_CROWD of them.
func BenchmarkCrowd(b *testing.B) {
	n, err := strconv.Atoi(os.Getenv("SHOAL_CROWD"))
	if err != nil {
		n = 60
	}
	s := crowd(n)
	s.Size, s.PieceLength = 8<<20, 64<<10
	b.ReportAllocs()
	for b.Loop() {
		x, err := Run(s, content(), 1)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(x.Events)/float64(n), "events/machine")
		b.ReportMetric(x.Ratio(), "×T_min")
	}
}
