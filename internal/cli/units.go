package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// parseNumber reads a number from 0 on that need not be whole.
func parseNumber(s string) (float64, error) {
	n, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || !(n >= 0 && n <= maxNumber) {
		return 0, fmt.Errorf("%q is not a number from 0 on, such as 1.1", s)
	}
	return n, nil
}

// maxNumber is more than anybody means.
const maxNumber = 1e9

// parseDuration reads Go's durations (90s, 2h, 1h30m). Zero means no limit; a bare number other than 0 has no unit and is refused.
func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(strings.TrimSpace(s))
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration: expected one such as 90s, 15m or 2h", s)
	}
	if d < 0 {
		return 0, fmt.Errorf("%q is negative", s)
	}
	return d, nil
}
