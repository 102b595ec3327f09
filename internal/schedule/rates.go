package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"shoal/internal/units"
)

// Rates are bytes per second by the time of the week. The zero value has no rate at any time.
type Rates struct {
	entries []entry
}

// entry is a rate and when it holds.
type entry struct {
	Window
	always bool // no window: it holds if none before does
	rate   int64
}

// Always is one rate at any time.
func Always(rate int64) Rates { return Rates{[]entry{{always: true, rate: rate}}} }

// ParseRates reads rates.
func ParseRates(text string) (Rates, error) {
	if !strings.Contains(text, "=") {
		rate, err := units.ParseRate(text)
		if err != nil {
			return Rates{}, err
		}
		return Always(rate), nil
	}
	parts, err := split(text)
	if err != nil {
		return Rates{}, err
	}
	var r Rates
	for i, p := range parts {
		if !p.hasValue {
			return Rates{}, fmt.Errorf("%q has no rate: write %s=5M", p.window, p.window)
		}
		e := entry{always: p.window == "else"}
		if !e.always {
			if e.Window, err = parseWindow(p.window); err != nil {
				return Rates{}, err
			}
		} else if i < len(parts)-1 {
			return Rates{}, errors.New("else comes last: what follows never holds")
		}
		if e.rate, err = units.ParseRate(p.value); err != nil {
			return Rates{}, err
		}
		r.entries = append(r.entries, e)
	}
	return r, nil
}

// At is the rate that holds; false if none does.
func (r Rates) At(at time.Time) (rate int64, ok bool) {
	for _, e := range r.entries {
		if e.always || e.holds(at) {
			return e.rate, true
		}
	}
	return 0, false
}

// Next is when At will answer something else; false: never.
func (r Rates) Next(at time.Time) (time.Time, bool) {
	rate, ok := r.At(at)
	return next(at, func(t time.Time) bool {
		n, holds := r.At(t)
		return n != rate || holds != ok
	})
}

// String writes rates as ParseRates reads them; "" if there are none.
func (r Rates) String() string {
	if len(r.entries) == 1 && r.entries[0].always {
		return units.Format(r.entries[0].rate)
	}
	texts := make([]string, len(r.entries))
	for i, e := range r.entries {
		when := "else"
		if !e.always {
			when = e.Window.String()
		}
		texts[i] = when + "=" + units.Format(e.rate)
	}
	return strings.Join(texts, ",")
}
