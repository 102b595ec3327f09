package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// testReporter writes to two buffers.
func testReporter(asJSON, quiet bool) (r *reporter, stdout, stderr *bytes.Buffer) {
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	return newReporter(&env{stdout: stdout, stderr: stderr, lookupEnv: variables()}, asJSON, quiet), stdout, stderr
}

// deliverTo plays a delivery of 64 MiB in 16 s, told ten times a second.
func deliverTo(r *reporter) {
	const total, steps = 64 << 20, 160
	r.Start("tree", total)
	for i := range int64(steps + 1) {
		r.Update(total*i/steps, FromBytes{LAN: total * i / steps / 2, Origin: total * i / steps / 2})
		time.Sleep(100 * time.Millisecond)
	}
	r.Done(summary{Name: "tree", Infohash: "ab", Bytes: total, Seconds: 16, From: FromBytes{LAN: total / 2, Origin: total / 2}, Efficiency: 0.9})
}

func TestPlainProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, stdout, stderr := testReporter(false, false)
		deliverTo(r)
		want := "tree: 20 MiB of 64 MiB (31%), 4.0 MiB/s, 11s left; lan 10 MiB, origin 10 MiB\n" +
			"tree: 40 MiB of 64 MiB (62%), 4.0 MiB/s, 6s left; lan 20 MiB, origin 20 MiB\n" +
			"tree: 60 MiB of 64 MiB (93%), 4.0 MiB/s, 1s left; lan 30 MiB, origin 30 MiB\n"
		if stderr.String() != want {
			t.Errorf("stderr: got\n%swant a line every 5 s:\n%s", stderr, want)
		}
		if want := "tree: 64 MiB in 16s (4.0 MiB/s), verified; lan 50%, origin 50%\n"; stdout.String() != want {
			t.Errorf("stdout: got %q, want %q", stdout, want)
		}
	})
}

func TestJSONLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, stdout, stderr := testReporter(true, false)
		r.Notice("a %s", "notice")
		deliverTo(r)
		if stderr.Len() > 0 {
			t.Errorf("stderr: got %q, want nothing", stderr)
		}
		lines := strings.Split(strings.TrimSuffix(stdout.String(), "\n"), "\n")
		for i, line := range lines {
			var object struct {
				Event string
				Time  time.Time
			}
			if err := json.Unmarshal([]byte(line), &object); err != nil || object.Event == "" || object.Time.IsZero() {
				t.Errorf("line %d is no object with event and time: %v\n%s", i, err, line)
			}
		}
		if len(lines) != 1+1+16+1 {
			t.Errorf("%d lines, want a notice, start, 16 of progress, and done", len(lines))
		}
		const head = `^{"event":"done","time":"[^"]*",`
		const tail = `"name":"tree","infohash":"ab","bytes":67108864,"seconds":16,"from":{"reuse":0,"lan":33554432,"peers":0,"edges":0,"origin":33554432},"wasted_bytes":0,"efficiency":0.9,"t_min_seconds":0,"held_seconds":{"link":0,.*}}$`
		if last := lines[len(lines)-1]; !regexp.MustCompile(head + tail).MatchString(last) {
			t.Errorf("last line\n%s\ndoes not match\n%s", last, head+tail)
		}
	})
}

func TestQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, stdout, stderr := testReporter(false, true)
		r.Notice("a notice")
		deliverTo(r)
		if stderr.Len() > 0 || strings.Count(stdout.String(), "\n") != 1 {
			t.Errorf("got stdout %q, stderr %q, want the result alone", stdout, stderr)
		}
	})
}

// What was there before counts for no rate.
func TestRateCountsFromTheFirstUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _, stderr := testReporter(false, false)
		r.Start("x", 1<<30)
		time.Sleep(time.Minute)
		r.Update(1<<29, FromBytes{Reuse: 1 << 29})
		time.Sleep(5 * time.Second)
		r.Update(1<<29+5<<20, FromBytes{Reuse: 1 << 29, Peers: 5 << 20})
		if !strings.Contains(stderr.String(), " 1.0 MiB/s") {
			t.Errorf("got %q, want a rate of 1.0 MiB/s", stderr)
		}
	})
}

// What has not moved for a while says so, and neither how fast it was nor how long it will take.
func TestUnchanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _, stderr := testReporter(false, false)
		r.Start("x", 100<<20)
		for range 7 {
			r.Update(0, FromBytes{})
			time.Sleep(time.Second)
		}
		for i := range 6 {
			r.Update(int64(i+1)<<20, FromBytes{})
			time.Sleep(time.Second)
		}
		for range 7 {
			r.Update(6<<20, FromBytes{})
			time.Sleep(time.Second)
		}
		want := "x: 0 B of 100 MiB (0%), unchanged for 5s\n" +
			"x: 4.0 MiB of 100 MiB (4%), 819 KiB/s, 2m0s left\n" +
			"x: 6.0 MiB of 100 MiB (6%), unchanged for 3s\n"
		if stderr.String() != want {
			t.Errorf("got\n%swant\n%s", stderr, want)
		}
	})
}

func TestUnknownTotal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _, stderr := testReporter(false, false)
		r.Start("x", -1)
		r.Update(0, FromBytes{})
		time.Sleep(6 * time.Second)
		r.Update(6<<20, FromBytes{})
		if want := "x: 6.0 MiB, 1.0 MiB/s\n"; stderr.String() != want {
			t.Errorf("got %q, want %q", stderr, want)
		}
	})
}

// A terminal of 80 and of 50 columns: one line, that fits; colours only if wanted; a notice on a line of its own.
func TestBar(t *testing.T) {
	for _, tt := range []struct {
		columns int
		colour  bool
		want    string // the last line that is drawn, without colours
	}{
		{80, true, " 100% |██████████|  64 MiB of 64 MiB  4.0 MiB/s  lan 50%  origin 50%"},
		{80, false, " 100% |██████████|  64 MiB of 64 MiB  4.0 MiB/s  lan 50%  origin 50%"},
		{60, true, " 100% |██████████|  64 MiB of 64 MiB  4.0 MiB/s  lan 50%"},
		{50, false, " 100% |██████████|  64 MiB of 64 MiB  4.0 MiB/s"},
		{40, false, " 100% |██████████|  64 MiB of 64 MiB"},
	} {
		t.Run(fmt.Sprint(tt.columns, tt.colour), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, _, stderr := testReporter(false, false)
				r.screen = &screen{w: stderr, colour: tt.colour, columns: func() int { return tt.columns }}
				deliverTo(r)
				text := stderr.String()
				if coloured := strings.Contains(text, "\x1b[3"); coloured != tt.colour {
					t.Errorf("coloured = %v, want %v", coloured, tt.colour)
				}
				plain := regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]`).ReplaceAllString(text, "")
				if !strings.HasPrefix(plain, "tree\n") {
					t.Errorf("does not begin with the name: %.40q", plain)
				}
				frames := strings.FieldsFunc(plain, func(r rune) bool { return r == '\r' || r == '\n' })
				if got := strings.TrimRight(frames[len(frames)-1], " "); got != tt.want {
					t.Errorf("last line: got\n%q, want\n%q", got, tt.want)
				}
				for _, frame := range frames {
					if width := len([]rune(frame)); width > tt.columns {
						t.Errorf("%d columns, want at most %d: %q", width, tt.columns, frame)
					}
				}
				if !strings.HasSuffix(text, "\x1b[2K\r") {
					t.Errorf("the bar stays: %q", text[max(0, len(text)-20):])
				}
			})
		})
	}
}

func TestNoticeClearsTheBar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _, stderr := testReporter(false, false)
		r.screen = &screen{w: stderr, columns: func() int { return 80 }}
		r.Start("x", 100)
		r.Update(1, FromBytes{})
		r.Notice("look\x1b[31m")
		if text := stderr.String(); !strings.HasSuffix(text, "\x1b[2K\rlook\\x1b[31m\n") {
			t.Errorf("got %q, want the line cleared, then the notice, made harmless", text)
		}
	})
}

func TestUpdateFromManyGoroutines(t *testing.T) {
	r, stdout, _ := testReporter(true, false)
	r.Start("x", 1000)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for i := range int64(1000) {
				r.Update(i, FromBytes{Peers: i})
				r.Event("tick", nil)
			}
		})
	}
	workers.Wait()
	for line := range strings.Lines(stdout.String()) {
		if !json.Valid([]byte(line)) {
			t.Fatalf("not a line of JSON: %q", line)
		}
	}
}

type fullDisk struct{ io.Writer }

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space") }

// A result that could not be written is an error, not a success.
func TestLostOutputIsAnError(t *testing.T) {
	var stderr bytes.Buffer
	e := &env{stdout: fullDisk{}, stderr: &stderr, lookupEnv: variables()}
	if code := e.main(t.Context(), []string{"shoal", "version"}); code != exitLocal {
		t.Errorf("exit code %d, want %d; %s", code, exitLocal, &stderr)
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", "Zoë 日本": "Zoë 日本", "a\nb\x1b[2J": `a\x0ab\x1b[2J`, "\xff": `\xff`, "a\u202eb": `a\u202eb`, "\ufffd": "\ufffd",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
}
