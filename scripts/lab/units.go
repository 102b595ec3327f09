//go:build linux

package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// size is a number of bytes; in a scenario "64Mi" or "10M".
type size int64

// ofPieces says whether a size can be a piece length.
func (s size) ofPieces() bool { return s >= 16<<10 && s&(s-1) == 0 }

// rate is bits per second; in a scenario "20Mbit". Zero is a link that is not shaped.
type rate float64

// span is a time; in a scenario "60s".
type span time.Duration

var multipliers = []struct {
	name string
	n    float64
}{{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"k", 1e3}, {"K", 1e3}, {"M", 1e6}, {"G", 1e9}, {"", 1}}

func parseAmount(text string) (float64, error) {
	for _, m := range multipliers {
		digits, ok := strings.CutSuffix(text, m.name)
		if !ok {
			continue
		}
		x, err := strconv.ParseFloat(digits, 64)
		if err != nil || !(x >= 0 && x*m.n < 1e15) {
			break
		}
		return x * m.n, nil
	}
	return 0, fmt.Errorf("%q is not an amount such as 64Mi or 10M", text)
}

func (s *size) UnmarshalText(text []byte) error {
	x, err := parseAmount(string(text))
	*s = size(x)
	return err
}

func (r *rate) UnmarshalText(text []byte) error {
	digits, ok := strings.CutSuffix(string(text), "bit")
	x, err := parseAmount(digits)
	if err != nil || !ok || x < 1000 {
		return fmt.Errorf("%q is not a rate such as 20Mbit", text)
	}
	*r = rate(x)
	return nil
}

func (s *span) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err == nil && d <= 0 {
		err = fmt.Errorf("%q is not a time to wait", text)
	}
	*s = span(d)
	return err
}

func (r rate) String() string {
	switch {
	case r == 0:
		return "unshaped"
	case r >= 1e9:
		return fmt.Sprintf("%g Gbit/s", float64(r)/1e9)
	}
	return fmt.Sprintf("%g Mbit/s", float64(r)/1e6)
}
