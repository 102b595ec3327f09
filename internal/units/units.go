// Package units reads and writes amounts as users write them:
//
//	amount = digits [ "." digits ] [ multiplier ] [ unit ]
//	multiplier: K M G T (powers of 1000), Ki Mi Gi Ti (powers of 1024); k, m, ki, … mean the same
//	unit, size: B
//	unit, rate: B, B/s (bytes) or bit, bit/s (an eighth of a byte); nothing means bytes
//
// So 1500, 20M, 1.5Gi, 20MB/s and 20Mbit are rates. A lone lower-case b is refused: half of the
// world reads 20Mb as bits, the other half as bytes. Fractions of a byte are cut off; what is less than one, and not 0, is
// refused: as a limit 0 is none.
package units

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// maxFraction bounds the digits behind the point, so that an amount never needs more than 128 bits.
const maxFraction = 9

// ParseSize reads a number of bytes.
func ParseSize(s string) (int64, error) {
	n, unit, err := parseAmount(s)
	if err != nil {
		return 0, err
	}
	switch unit {
	case "", "B":
		return n, nil
	case "b":
		return 0, fmt.Errorf("%q could mean bits or bytes: write B for bytes", s)
	}
	return 0, fmt.Errorf("unknown unit %q in %q: a size is a number with K, M, G (1000) or Ki, Mi, Gi (1024)", unit, s)
}

// ParseRate reads a number of bytes per second.
func ParseRate(s string) (int64, error) {
	n, unit, err := parseAmount(s)
	if err != nil {
		return 0, err
	}
	switch base := strings.TrimSuffix(unit, "/s"); {
	case base == "" || base == "B":
		return n, nil
	case strings.EqualFold(base, "bit"):
		if n > 0 && n < 8 {
			return 0, fmt.Errorf("%q is less than a byte", s)
		}
		return n / 8, nil
	case base == "b" || strings.EqualFold(base, "bps"):
		return 0, fmt.Errorf("%q could mean bits or bytes: write 20MB or 20Mbit", s)
	}
	return 0, fmt.Errorf("unknown unit %q in %q: a rate is a number with K, M, G (1000) or Ki, Mi, Gi (1024) bytes per second, or with Kbit, Mbit, Gbit", unit, s)
}

// parseAmount reads digits, fraction and multiplier, and returns what is left as the unit.
func parseAmount(s string) (n int64, unit string, err error) {
	text := strings.TrimSpace(s)
	switch {
	case text == "":
		return 0, "", errors.New("empty: expected a number such as 500K or 20Mi")
	case text[0] == '-':
		return 0, "", fmt.Errorf("%q is negative", s)
	}
	whole, rest := cutDigits(text)
	var fraction string
	if strings.HasPrefix(rest, ".") {
		fraction, rest = cutDigits(rest[1:])
		if fraction == "" {
			whole = ""
		}
	}
	if whole == "" {
		return 0, "", fmt.Errorf("%q is not a number: expected one such as 500K or 20Mi", s)
	}
	if len(fraction) > maxFraction {
		return 0, "", fmt.Errorf("%q has more than %d digits behind the point", s, maxFraction)
	}
	multiplier, unit := cutMultiplier(strings.TrimLeft(rest, " "))

	// value = (whole·10^f + fraction) · multiplier / 10^f, in 128 bits: nothing is rounded on the way.
	mantissa, scale := uint64(0), uint64(1)
	for i, digit := range whole + fraction {
		hi, lo := bits.Mul64(mantissa, 10)
		sum, carry := bits.Add64(lo, uint64(digit-'0'), 0)
		if hi != 0 || carry != 0 {
			return 0, "", fmt.Errorf("%q is too large", s)
		}
		mantissa = sum
		if i >= len(whole) {
			scale *= 10
		}
	}
	hi, lo := bits.Mul64(mantissa, multiplier)
	if hi >= scale {
		return 0, "", fmt.Errorf("%q is too large", s)
	}
	value, _ := bits.Div64(hi, lo, scale)
	if value > math.MaxInt64 {
		return 0, "", fmt.Errorf("%q is too large", s)
	}
	if value == 0 && mantissa > 0 {
		return 0, "", fmt.Errorf("%q is less than a byte", s)
	}
	return int64(value), unit, nil
}

func cutDigits(s string) (digits, rest string) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	return s[:i], s[i:]
}

func cutMultiplier(s string) (multiplier uint64, rest string) {
	if s == "" {
		return 1, ""
	}
	power := 1 + strings.IndexByte("KMGT", s[0]&^('a'-'A'))
	if power == 0 {
		return 1, s
	}
	base, rest := uint64(1000), s[1:]
	// "bit" after the multiplier is a unit; an i alone makes the multiplier binary: 20Mi, 20Mibit, 20MiB.
	if rest != "" && (rest[0] == 'i' || rest[0] == 'I') {
		base, rest = 1024, rest[1:]
	}
	multiplier = 1
	for range power {
		multiplier *= base
	}
	return multiplier, rest
}

// Format writes an amount of bytes so that it is read as the same again, with the largest multiplier
// that leaves a whole number: 5M, 1500, 2Mi.
func Format(n int64) string {
	best := strconv.FormatInt(n, 10)
	for _, m := range []struct {
		base int64
		mark string
	}{{1000, ""}, {1024, "i"}} {
		rest, power := n, 0
		for ; power < 4 && rest != 0 && rest%m.base == 0; power++ {
			rest /= m.base
		}
		if power == 0 {
			continue
		}
		if text := strconv.FormatInt(rest, 10) + "KMGT"[power-1:power] + m.mark; len(text) < len(best) {
			best = text
		}
	}
	return best
}
