package units

import (
	"fmt"
	"strings"
)

// Runs joins ascending numbers to runs of first and last.
func Runs(numbers []int) [][2]int {
	joined := [][2]int{}
	for _, n := range numbers {
		if last := len(joined) - 1; last >= 0 && joined[last][1]+1 == n {
			joined[last][1] = n
			continue
		}
		joined = append(joined, [2]int{n, n})
	}
	return joined
}

// FormatRuns writes runs as people do: 3, 5-8.
func FormatRuns(runs [][2]int) string {
	texts := make([]string, len(runs))
	for i, r := range runs {
		texts[i] = FormatRun(r[0], r[1])
	}
	return strings.Join(texts, ", ")
}

// FormatRun writes first and last (included): 3 or 3-5.
func FormatRun(first, last int) string {
	if first == last {
		return fmt.Sprint(first)
	}
	return fmt.Sprintf("%d-%d", first, last)
}
