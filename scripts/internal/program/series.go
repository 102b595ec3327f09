//go:build unix

package program

import (
	"fmt"
	"slices"
)

// Series is a figure's rounds.
type Series []float64

// Add notes one more round.
func (s *Series) Add(x float64) { *s = append(*s, x) }

// Median is the figure.
func (s Series) Median() float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// Over is the median of the ratios of two series, round by round.
func (s Series) Over(t Series) float64 {
	var ratios Series
	for i := range s {
		ratios.Add(s[i] / t[i])
	}
	return ratios.Median()
}

// Spread is from the least to the greatest.
func (s Series) Spread(format string) string {
	return fmt.Sprintf(format+"–"+format, slices.Min(s), slices.Max(s))
}
