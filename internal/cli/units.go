package cli

import (
	"fmt"
	"strings"
	"time"
)

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
