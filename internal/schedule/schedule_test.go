package schedule

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata"
)

// berlin puts clocks forward on 29 March 2026 at 02:00, and back on 25 October at 03:00.
func berlin(t *testing.T) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func TestWindowsOpen(t *testing.T) {
	at := func(text string) time.Time {
		when, err := time.Parse("Mon 2006-01-02 15:04:05", text)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	for _, c := range []struct {
		windows   string
		open, not []string
	}{
		{"02:00-05:00", []string{"Mon 2026-03-02 02:00:00", "Sun 2026-03-01 04:59:59"}, []string{"Mon 2026-03-02 01:59:59", "Mon 2026-03-02 05:00:00"}},
		{"Sat,Sun 02:00-05:00", []string{"Sat 2026-03-07 02:00:00", "Sun 2026-03-08 03:00:00"}, []string{"Fri 2026-03-06 03:00:00", "Mon 2026-03-09 03:00:00"}},
		{"Fri 22:00-06:00", []string{"Fri 2026-03-06 22:00:00", "Sat 2026-03-07 05:59:00"}, []string{"Fri 2026-03-06 05:00:00", "Sat 2026-03-07 22:00:00", "Sat 2026-03-07 06:00:00"}},
		{"22:00-06:00", []string{"Fri 2026-03-06 05:00:00", "Fri 2026-03-06 23:00:00"}, []string{"Fri 2026-03-06 12:00:00"}},
		{"Sat,Sun", []string{"Sat 2026-03-07 00:00:00", "Sun 2026-03-08 23:59:59"}, []string{"Mon 2026-03-09 00:00:00"}},
		{"Fri-Mon 12:00-13:00", []string{"Fri 2026-03-06 12:30:00", "Mon 2026-03-09 12:30:00"}, []string{"Tue 2026-03-10 12:30:00"}},
		{"Sat,02:00-05:00", []string{"Sat 2026-03-07 12:00:00", "Mon 2026-03-09 02:00:00"}, []string{"Mon 2026-03-09 12:00:00"}},
		{"01:00-02:00,Mon 20:00-00:00", []string{"Mon 2026-03-09 23:59:00", "Tue 2026-03-10 01:30:00"}, []string{"Tue 2026-03-10 00:00:00"}},
	} {
		ws, err := ParseWindows(c.windows)
		if err != nil {
			t.Errorf("%s: %v", c.windows, err)
			continue
		}
		for _, text := range c.open {
			if !ws.Open(at(text)) {
				t.Errorf("%s is not open at %s, want open", c.windows, text)
			}
		}
		for _, text := range c.not {
			if ws.Open(at(text)) {
				t.Errorf("%s is open at %s, want not", c.windows, text)
			}
		}
	}
}

func TestRatesAt(t *testing.T) {
	day := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC) // a Wednesday
	for _, c := range []struct {
		rates string
		at    time.Time
		want  int64
		holds bool
	}{
		{"5M", day, 5e6, true},
		{"20Mbit", day, 2_500_000, true},
		{"0", day, 0, true},
		{"08:00-18:00=5M,else=50M", day, 5e6, true},
		{"08:00-18:00=5M,else=50M", day.Add(6 * time.Hour), 50e6, true},
		{"02:00-06:00=50M", day, 0, false},
		{"Wed 12:00-13:00=1M, Mon-Fri 08:00-18:00=2M, else=3M", day, 1e6, true},
		{"Wed 12:00-13:00=1M, Mon-Fri 08:00-18:00=2M, else=3M", day.Add(time.Hour), 2e6, true},
		{"Sat,Sun=1M,else=2M", day, 2e6, true},
	} {
		r, err := ParseRates(c.rates)
		if err != nil {
			t.Errorf("%s: %v", c.rates, err)
			continue
		}
		if got, holds := r.At(c.at); got != c.want || holds != c.holds {
			t.Errorf("%s at %v: %d, %v; want %d, %v", c.rates, c.at, got, holds, c.want, c.holds)
		}
	}
	if rate, ok := (Rates{}).At(day); rate != 0 || ok {
		t.Error("no rates have a rate")
	}
}

func TestNext(t *testing.T) {
	loc := berlin(t)
	for _, c := range []struct {
		what, rates string
		at, want    time.Time
	}{
		{"the same day", "08:00-18:00=5M,else=50M", time.Date(2026, 3, 4, 7, 59, 30, 0, loc), time.Date(2026, 3, 4, 8, 0, 0, 0, loc)},
		{"days later", "Sat 02:00-05:00=5M", time.Date(2026, 3, 2, 12, 0, 0, 0, loc), time.Date(2026, 3, 7, 2, 0, 0, 0, loc)},
		{"the hour that is left out", "02:30-04:00=5M", time.Date(2026, 3, 29, 1, 0, 0, 0, loc), time.Date(2026, 3, 29, 3, 0, 0, 0, loc)},
		{"the hour that comes twice, the second time", "02:15-02:30=5M", time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC).In(loc), time.Date(2026, 10, 25, 1, 15, 0, 0, time.UTC)},
	} {
		r, err := ParseRates(c.rates)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := r.Next(c.at); !ok || !got.Equal(c.want) {
			t.Errorf("%s: %s after %v changes at %v, %v; want %v", c.what, c.rates, c.at, got, ok, c.want)
		}
	}
	if at, ok := Always(5).Next(time.Now()); ok {
		t.Errorf("what always holds changes at %v", at)
	}
	if ws, err := ParseWindows("02:15-02:45"); err != nil || ws.Open(time.Date(2026, 3, 29, 1, 59, 0, 0, loc)) || ws.Open(time.Date(2026, 3, 29, 3, 0, 0, 0, loc)) {
		t.Errorf("a window in the hour that is left out opens that day, or %v", err)
	}
}

func TestRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "empty",
		"fast":                   "not a number",
		"08:00-18:00":            "unknown unit",
		"08:00-18:00=":           "empty",
		"08:00=5M":               "not a time to a time",
		"08:00-08:00=5M":         "same time",
		"24:00-08:00=5M":         "begin at 24:00",
		"08:00-24:01=5M":         "not a time",
		"8-9=5M":                 "not a window",
		"08:60-09:00=5M":         "not a time",
		"Mo 08:00-09:00=5M":      "not a day",
		"else=5M,08:00-09:00=1M": "last",
		"08:00-18:00=5Mb":        "bits or bytes",
		"08:00-18:00=5M,":        "empty",
		"Sat,08:00-18:00=5M":     "no rate",
		strings.Repeat("Mon 08:00-09:00=1,", 101) + "else=1": "at most",
		strings.Repeat("1", 3000) + "=":                      "at most",
	} {
		if r, err := ParseRates(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseRates(%.40q) = %v, %v; want an error with %q", text, r, err, want)
		}
	}
	for text, want := range map[string]string{"": "empty", "02:00-05:00=5M": "no value", "always": "not a window", "else": "not a window"} {
		if ws, err := ParseWindows(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseWindows(%q) = %v, %v; want an error with %q", text, ws, err, want)
		}
	}
}

func TestWrittenAsRead(t *testing.T) {
	for text, want := range map[string]string{
		"5M": "5M", "08:00-18:00=5M,else=50M": "08:00-18:00=5M,else=50M", "sat,SUN  2:00-05:00=1Ki": "Sat,Sun 02:00-05:00=1Ki",
		"Mon,Tue,Wed,Fri=1": "Mon-Wed,Fri=1", "Fri-Mon 20:00-00:00=1": "Mon,Fri-Sun 20:00-24:00=1", "Mon-Sun 00:00-24:00=1": "00:00-24:00=1",
	} {
		r, err := ParseRates(text)
		if err != nil || r.String() != want {
			t.Errorf("ParseRates(%q) = %q, %v; want %q", text, r, err, want)
		}
	}
}

// What is read is written so that it is read as the same, and holds at the same times.
func FuzzSchedule(f *testing.F) {
	for _, s := range []string{"5M", "08:00-18:00=5M,else=50M", "Sat,Sun 02:00-05:00", "Fri-Mon 22:00-06:00=20Mbit, Sat=1, else=0", "02:00-06:00=50M", "Sat,02:00-05:00", "else=1"} {
		f.Add(s, int64(1_772_000_000))
	}
	f.Fuzz(func(t *testing.T, text string, unix int64) {
		at := time.Unix(unix%4e9, 0).UTC()
		if r, err := ParseRates(text); err == nil {
			again, err := ParseRates(r.String())
			if err != nil || again.String() != r.String() {
				t.Fatalf("%q is written as %q, which is read as %q, %v", text, r, again, err)
			}
			a, aok := r.At(at)
			if b, bok := again.At(at); a != b || aok != bok || a < 0 {
				t.Fatalf("%q at %v: %d, %v; as %q: %d, %v", text, at, a, aok, r, b, bok)
			}
		}
		if ws, err := ParseWindows(text); err == nil {
			again, err := ParseWindows(ws.String())
			if err != nil || again.Open(at) != ws.Open(at) {
				t.Fatalf("%q is written as %q, which is %v, %v at %v, want %v", text, ws, again.Open(at), err, at, ws.Open(at))
			}
		}
	})
}
