package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
)

// FromBytes counts content bytes by class of source. The order is that of the classes' precedence.
type FromBytes struct {
	Reuse  int64 `json:"reuse"`  // was already on this machine
	LAN    int64 `json:"lan"`    // peers of the same site
	Peers  int64 `json:"peers"`  // other peers
	Edges  int64 `json:"edges"`  // copies near users
	Origin int64 `json:"origin"` // the publisher
}

// summary is the end of a delivery.
type summary struct {
	Name       string    `json:"name"`
	Infohash   string    `json:"infohash"`
	Bytes      int64     `json:"bytes"`
	Seconds    float64   `json:"seconds"`
	From       FromBytes `json:"from"`
	Wasted     int64     `json:"wasted_bytes"`
	Efficiency float64   `json:"efficiency"` // TMin / Seconds
	TMin       float64   `json:"t_min_seconds"`
	Held       HeldBy    `json:"held_seconds"`

	Idle map[string]float64 `json:"idle_seconds,omitempty"` // why connections stood still, all together

	Way       string `json:"way,omitempty"`         // of a release: tree, archive or patch
	PatchFrom string `json:"patch_from,omitempty"`  // the version that a patch began with
	Saved     int64  `json:"saved_bytes,omitempty"` // of the release's, that did not come over the net
}

// HeldBy is for how many seconds a delivery was held back by what: see swarm.Hold.
type HeldBy struct {
	Link   float64 `json:"link"`
	Limit  float64 `json:"limit"`
	LAN    float64 `json:"lan"`
	Peers  float64 `json:"peers"`
	Edges  float64 `json:"edges"`
	Origin float64 `json:"origin"`
	Choked float64 `json:"choked"`
	Pieces float64 `json:"pieces"`
	Nobody float64 `json:"nobody"`
	Disk   float64 `json:"disk"`
}

// reporter is a command's voice. With --json, stdout gets one object per line, {"event":…,"time":…,…}, and
// stderr only the log. Otherwise results go to stdout, and to stderr notices and progress: a bar on a
// terminal, elsewhere a plain line at most every 5 s. With --quiet there are results and errors only.
//
// Its methods may be called from any goroutine. Update is quick: it draws only when something is due, and
// returns at once while another goroutine draws.
type reporter struct {
	stdout, stderr io.Writer
	json, quiet    bool
	screen         *screen // nil: stderr is no terminal

	mu       sync.Mutex // guards what follows, and the order of writes
	progress *progress  // nil: nothing under way
	err      error      // first failure to write a result
}

// How often progress is told.
const (
	plainEvery = 5 * time.Second
	jsonEvery  = time.Second
	drawEvery  = 100 * time.Millisecond
)

// progress is the state of a piece of work between Start and Stop.
type progress struct {
	name         string
	total, done  int64 // total is -1 if unknown
	from         FromBytes
	toldAt       time.Time // when progress was told last, or when it began
	toldDone     int64     // how much was done then
	rate         float64   // bytes per second, smoothed; 0 until known
	bar          *bar
	movedAt      time.Time // when more was done last
	sinceUpdates bool      // the first Update was there: what was done before it counts for no rate
}

func newReporter(e *env, asJSON, quiet bool) *reporter {
	r := &reporter{stdout: e.stdout, stderr: e.stderr, json: asJSON, quiet: quiet}
	if !asJSON && !quiet {
		r.screen = screenOf(e.stderr, e.lookupEnv)
	}
	return r
}

// Event prints one JSON line, if --json is given. fields is nil or marshals to an object; its keys follow
// event and time in the struct's order.
func (r *reporter) Event(event string, fields any) {
	if !r.json {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writeEvent(event, fields)
}

func (r *reporter) writeEvent(event string, fields any) {
	var line bytes.Buffer
	fmt.Fprintf(&line, `{"event":%q,"time":%q`, event, time.Now().UTC().Format("2006-01-02T15:04:05.000Z07:00"))
	if fields != nil {
		var body bytes.Buffer
		encoder := json.NewEncoder(&body)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(fields); err != nil {
			panic(err) // our own structs marshal
		}
		if inner := bytes.TrimSpace(body.Bytes()); len(inner) > len("{}") {
			line.WriteByte(',')
			line.Write(inner[1 : len(inner)-1])
		}
	}
	line.WriteString("}\n")
	r.writeResult(line.Bytes())
}

// Result prints what the command was run for: the event with --json, else what text writes.
func (r *reporter) Result(event string, fields any, text func(io.Writer)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clear()
	if r.json {
		r.writeEvent(event, fields)
		return
	}
	var b bytes.Buffer
	text(&b)
	r.writeResult(b.Bytes())
}

func (r *reporter) writeResult(b []byte) {
	if _, err := r.stdout.Write(b); err != nil && r.err == nil {
		r.err = fmt.Errorf("%w: %w", errOutput, err)
	}
}

// Err is the first failure to write a result.
func (r *reporter) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Notice tells something that the user should know but did not ask for.
func (r *reporter) Notice(format string, args ...any) {
	if r.quiet {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	message := clean(fmt.Sprintf(format, args...))
	if r.json {
		r.writeEvent("notice", struct {
			Message string `json:"message"`
		}{message})
		return
	}
	r.clear()
	fmt.Fprintln(r.stderr, message)
}

// Write makes the reporter the place for a log: on a terminal the bar makes room for it.
func (r *reporter) Write(line []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clear()
	return r.stderr.Write(line)
}

// Start begins to report progress of name up to total bytes; -1 if the total is not known yet. It ends what
// was under way before.
func (r *reporter) Start(name string, total int64) {
	if r.quiet {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stop()
	r.progress = &progress{name: clean(name), total: total, toldAt: time.Now()}
	if r.json {
		r.writeEvent("start", struct {
			Name  string `json:"name"`
			Total int64  `json:"total"`
		}{name, total})
	}
	if r.screen != nil {
		fmt.Fprintln(r.stderr, r.progress.name)
		if total != 0 {
			r.progress.bar = newBar(r.screen, total)
		}
	}
}

// Update tells how much of the total is done, and how many bytes came from where; the zero FromBytes is for
// work that fetches nothing. The first Update is the base from which the rate counts.
func (r *reporter) Update(done int64, from FromBytes) {
	if !r.mu.TryLock() {
		return
	}
	defer r.mu.Unlock()
	p := r.progress
	if p == nil {
		return
	}
	now := time.Now()
	if done != p.done || !p.sinceUpdates {
		p.movedAt = now
	}
	p.done, p.from = done, from
	if !p.sinceUpdates {
		p.sinceUpdates, p.toldAt, p.toldDone = true, now, done
		if p.bar == nil {
			return
		}
		p.bar.draw(p)
	}
	every := plainEvery
	switch {
	case r.json:
		every = jsonEvery
	case r.screen != nil:
		every = drawEvery
	}
	elapsed := now.Sub(p.toldAt)
	if elapsed < every {
		return
	}
	p.measure(elapsed)
	p.toldAt, p.toldDone = now, done
	switch {
	case r.json:
		r.writeEvent("progress", struct {
			Name  string    `json:"name"`
			Done  int64     `json:"done"`
			Total int64     `json:"total"`
			Rate  int64     `json:"bytes_per_second"`
			From  FromBytes `json:"from"`
		}{p.name, p.done, p.total, int64(p.rate), p.from})
	case p.bar != nil:
		p.bar.draw(p)
	case r.screen == nil:
		fmt.Fprintln(r.stderr, p.line())
	}
}

// stillTime is for how long nothing must have been done for that to be told instead of a rate.
const stillTime = 2 * time.Second

// pace is the rate, or since when nothing more was done: what comes before the next byte can take long, as sorting a large file does.
func (p *progress) pace() string {
	if still := time.Since(p.movedAt); still >= stillTime {
		return "unchanged for " + still.Round(time.Second).String()
	}
	return formatBytes(int64(p.rate)) + "/s"
}

// measure updates the rate: an average over about the last three seconds.
func (p *progress) measure(elapsed time.Duration) {
	current := max(0, float64(p.done-p.toldDone)/elapsed.Seconds())
	if p.rate == 0 {
		p.rate = current
		return
	}
	weight := 1 - math.Exp(-elapsed.Seconds()/3)
	p.rate += weight * (current - p.rate)
}

// left is how long the rest takes at the current rate; negative if that cannot be said.
func (p *progress) left() time.Duration {
	if p.rate < 1 || p.total < 0 || time.Since(p.movedAt) >= stillTime {
		return -1
	}
	seconds := float64(p.total-p.done) / p.rate
	if seconds > (100 * 24 * time.Hour).Seconds() {
		return -1
	}
	return time.Duration(seconds * float64(time.Second)).Round(time.Second)
}

// line is the progress as one plain line.
func (p *progress) line() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", p.name, formatBytes(p.done))
	if p.total > 0 {
		fmt.Fprintf(&b, " of %s (%d%%)", formatBytes(p.total), 100*p.done/p.total)
	}
	fmt.Fprintf(&b, ", %s", p.pace())
	if left := p.left(); left >= 0 {
		fmt.Fprintf(&b, ", %s left", left)
	}
	separator := "; "
	for _, c := range p.from.classes() {
		fmt.Fprintf(&b, "%s%s %s", separator, c.name, formatBytes(c.bytes))
		separator = ", "
	}
	return b.String()
}

// Stop ends the progress without a word, and leaves the terminal as a next line needs it.
func (r *reporter) Stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stop()
}

func (r *reporter) stop() {
	r.clear()
	r.progress = nil
}

func (r *reporter) clear() {
	if r.progress != nil && r.progress.bar != nil {
		r.progress.bar.clear()
	}
}

// Done ends a delivery: everything is verified and in place.
func (r *reporter) Done(s summary) {
	r.Stop()
	r.Result("done", s, func(w io.Writer) {
		rate := int64(float64(s.Bytes) / max(s.Seconds, 0.001))
		fmt.Fprintf(w, "%s: %s in %s (%s/s), verified", clean(s.Name), formatBytes(s.Bytes), formatSeconds(s.Seconds), formatBytes(rate))
		separator := "; "
		for _, c := range s.From.classes() {
			fmt.Fprintf(w, "%s%s %d%%", separator, c.name, int(math.Round(100*float64(c.bytes)/float64(s.From.sum()))))
			separator = ", "
		}
		if s.Saved > 0 {
			fmt.Fprintf(w, "; %s saved", formatBytes(s.Saved))
			switch {
			case s.PatchFrom != "":
				fmt.Fprintf(w, " by a patch from %s", clean(s.PatchFrom))
			case s.Way == "archive":
				fmt.Fprint(w, " by an archive")
			}
		}
		fmt.Fprintln(w)
	})
}

// class is one class of source with something from it.
type class struct {
	name, colour string
	bytes        int64
}

// classes lists those classes that gave something.
func (f FromBytes) classes() []class {
	var some []class
	for _, c := range []class{
		{"reuse", "blue", f.Reuse}, {"lan", "green", f.LAN}, {"peers", "cyan", f.Peers}, {"edges", "yellow", f.Edges}, {"origin", "red", f.Origin},
	} {
		if c.bytes > 0 {
			some = append(some, c)
		}
	}
	return some
}

func (f FromBytes) sum() int64 { return f.Reuse + f.LAN + f.Peers + f.Edges + f.Origin }

// formatBytes writes bytes with binary units: 64 MiB.
func formatBytes(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

func formatSeconds(s float64) string {
	d := time.Duration(s * float64(time.Second))
	if d < 10*time.Second {
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// seconds is a duration as JSON has it, to the millisecond.
func seconds(d time.Duration) float64 {
	return float64(d.Round(time.Millisecond)) / float64(time.Second)
}
