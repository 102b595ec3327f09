// Package schedule says when: windows of the week, and rates that hold in them. It is the one
// grammar for both, wherever a user writes them:
//
//	windows = window { "," window }
//	rates   = rate | entry { "," entry }
//	entry   = window "=" rate | "else=" rate      else last, and at most once
//	window  = days | [ days " " ] time "-" time
//	days    = day [ "-" day ] { "," day [ "-" day ] }
//	day     = "Mon" | "Tue" | "Wed" | "Thu" | "Fri" | "Sat" | "Sun"
//	time    = hour ":" minute                     00:00 to 24:00
//	rate    = as in package units
//
// So "Sat,Sun 02:00-05:00" is a window, and "08:00-18:00=5M,else=50M" are rates. A window without
// days opens every day; one that ends before it begins ends on the next day, and belongs to the day
// it begins on. Of several windows that are open the first counts.
//
// Times are those of the clock on the wall, in the zone of the time that is asked about. When clocks
// are put forward, a window within the hour that is left out does not open that day; when they are
// put back, one within the hour that comes twice opens twice.
package schedule

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Window is a part of each week.
type Window struct {
	days     uint8 // bit n is time.Weekday(n); 0 is every day
	from, to int   // minutes since midnight; to may be less than from, and is 1 to 1440
}

const dayMinutes = 24 * 60

// Windows are open when one of them is. The zero value never is.
type Windows []Window

const (
	maxText    = 2000 // bytes of a schedule
	maxWindows = 100
)

// ParseWindows reads windows.
func ParseWindows(text string) (Windows, error) {
	parts, err := split(text)
	if err != nil {
		return nil, err
	}
	var all Windows
	for _, p := range parts {
		if p.hasValue {
			return nil, fmt.Errorf("%q: a window has no value", p.value)
		}
		w, err := parseWindow(p.window)
		if err != nil {
			return nil, err
		}
		all = append(all, w)
	}
	return all, nil
}

// Open says whether one of the windows is open.
func (ws Windows) Open(at time.Time) bool {
	for _, w := range ws {
		if w.holds(at) {
			return true
		}
	}
	return false
}

// Next is when Open will answer otherwise; false: never.
func (ws Windows) Next(at time.Time) (time.Time, bool) {
	now := ws.Open(at)
	return next(at, func(t time.Time) bool { return ws.Open(t) != now })
}

// String writes windows as ParseWindows reads them.
func (ws Windows) String() string {
	texts := make([]string, len(ws))
	for i, w := range ws {
		texts[i] = w.String()
	}
	return strings.Join(texts, ",")
}

// holds says whether the window is open.
func (w Window) holds(at time.Time) bool {
	minute, day := at.Hour()*60+at.Minute(), at.Weekday()
	if w.from < w.to {
		return w.has(day) && minute >= w.from && minute < w.to
	}
	return w.has(day) && minute >= w.from || w.has((day+6)%7) && minute < w.to
}

func (w Window) has(day time.Weekday) bool { return w.days == 0 || w.days&(1<<day) != 0 }

// next is the first full minute after at, within eight days, for which f holds: windows begin and
// end on full minutes, whatever the clocks are put to.
func next(at time.Time, f func(time.Time) bool) (time.Time, bool) {
	t := at.Truncate(time.Minute)
	for range 8 * dayMinutes {
		if t = t.Add(time.Minute); f(t) {
			return t, true
		}
	}
	return time.Time{}, false
}

// part is a window, and what follows it behind "=".
type part struct {
	window, value string
	hasValue      bool
}

// split cuts a schedule at its commas, but for those between the days of one window.
func split(text string) (parts []part, err error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("a schedule of %d bytes: at most %d", len(text), maxText)
	}
	days := ""
	for one := range strings.SplitSeq(text, ",") {
		one = strings.TrimSpace(one)
		if one == "" {
			return nil, errors.New("an empty window")
		}
		if onlyDays(one) {
			days += one + ","
			continue
		}
		if days != "" && !startsWithDay(one) { // "Sat,02:00-05:00": the days are a window of their own
			parts = append(parts, part{window: strings.TrimSuffix(days, ",")})
			days = ""
		}
		var p part
		p.window, p.value, p.hasValue = strings.Cut(days+one, "=")
		p.window, p.value = strings.TrimSpace(p.window), strings.TrimSpace(p.value)
		parts, days = append(parts, p), ""
	}
	if days != "" {
		parts = append(parts, part{window: strings.TrimSuffix(days, ",")})
	}
	if len(parts) > maxWindows {
		return nil, fmt.Errorf("%d windows: at most %d", len(parts), maxWindows)
	}
	return parts, nil
}

func onlyDays(s string) bool {
	_, err := parseDays(s)
	return err == nil
}

func startsWithDay(s string) bool {
	_, ok := dayNamed(s[:min(len(s), 3)])
	return ok
}

func parseWindow(text string) (w Window, err error) {
	days, times, both := strings.Cut(text, " ")
	switch {
	case both:
	case strings.Contains(text, ":"):
		days, times = "", text
	default:
		w.days, err = parseDays(text)
		w.to = dayMinutes
		if err != nil {
			return w, fmt.Errorf("%q is not a window such as 22:00-06:00 or Sat,Sun 02:00-05:00", text)
		}
		return w, nil
	}
	if days != "" {
		if w.days, err = parseDays(days); err != nil {
			return w, err
		}
	}
	from, to, ok := strings.Cut(strings.TrimSpace(times), "-")
	if !ok {
		return w, fmt.Errorf("%q is not a time to a time, such as 22:00-06:00", times)
	}
	if w.from, err = parseTime(from); err != nil {
		return w, err
	}
	if w.to, err = parseTime(to); err != nil {
		return w, err
	}
	switch {
	case w.from == dayMinutes:
		return w, errors.New("a window cannot begin at 24:00")
	case w.from == w.to:
		return w, fmt.Errorf("%q begins and ends at the same time: a whole day is 00:00-24:00", text)
	case w.to == 0:
		w.to = dayMinutes
	}
	return w, nil
}

// parseTime reads a time of day as minutes since midnight.
func parseTime(s string) (int, error) {
	h, m, ok := strings.Cut(strings.TrimSpace(s), ":")
	hour, err1 := strconv.ParseUint(h, 10, 8)
	minute, err2 := strconv.ParseUint(m, 10, 8)
	if !ok || err1 != nil || err2 != nil || len(h) > 2 || len(m) != 2 || minute > 59 || hour*60+minute > dayMinutes {
		return 0, fmt.Errorf("%q is not a time such as 22:00", s)
	}
	return int(hour*60 + minute), nil
}

// dayNames are in the order of time.Weekday.
const dayNames = "SunMonTueWedThuFriSat"

func dayNamed(s string) (time.Weekday, bool) {
	for d := time.Sunday; d <= time.Saturday; d++ {
		if strings.EqualFold(s, dayNames[3*d:3*d+3]) {
			return d, true
		}
	}
	return 0, false
}

// parseDays reads a list of days and runs of days; all seven are 0, every day.
func parseDays(text string) (set uint8, err error) {
	for one := range strings.SplitSeq(text, ",") {
		from, to, run := strings.Cut(strings.TrimSpace(one), "-")
		if !run {
			to = from
		}
		first, ok1 := dayNamed(strings.TrimSpace(from))
		last, ok2 := dayNamed(strings.TrimSpace(to))
		if !ok1 || !ok2 {
			return 0, fmt.Errorf("%q is not a day such as Mon, or a run such as Mon-Fri", one)
		}
		for d := first; ; d = (d + 1) % 7 {
			set |= 1 << d
			if d == last {
				break
			}
		}
	}
	if set == 1<<7-1 {
		set = 0
	}
	return set, nil
}

// String writes a window as it is read.
func (w Window) String() string {
	times := fmt.Sprintf("%02d:%02d-%02d:%02d", w.from/60, w.from%60, w.to/60, w.to%60)
	switch {
	case w.days == 0:
		return times
	case w.from == 0 && w.to == dayMinutes:
		return formatDays(w.days)
	}
	return formatDays(w.days) + " " + times
}

// formatDays writes days from Monday on; three and more in a row are a run.
func formatDays(set uint8) string {
	var texts []string
	name := func(d int) string { d %= 7; return dayNames[3*d : 3*d+3] }
	for d := 1; d <= 7; d++ { // Monday to Sunday
		end := d
		for end <= 7 && set&(1<<(end%7)) != 0 {
			end++
		}
		if end-d >= 3 {
			texts = append(texts, name(d)+"-"+name(end-1))
			d = end
		} else if end > d {
			texts = append(texts, name(d))
		}
	}
	return strings.Join(texts, ",")
}
