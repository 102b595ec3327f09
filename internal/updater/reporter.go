package updater

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"shoal/internal/disk"
	"shoal/internal/fleet"
	"shoal/swarm"
)

// Reporters tells a step to several.
type Reporters []Reporter

// Report implements Reporter.
func (l Reporters) Report(r Report) {
	for _, one := range l {
		one.Report(r)
	}
}

// FleetConfig configures a FleetReporter.
type FleetConfig struct {
	URL      string        // of the origin
	Dir      string        // where reports wait that could not be sent
	Key      *fleet.Key    // nil: they are anonymous
	Every    time.Duration // how often a report is sent that says nothing new; zero means 5 minutes
	Promise  time.Duration // within which one comes at the latest; zero means Every
	Site     string
	Platform string
	Groups   []string
	Client   *http.Client // nil means http.DefaultClient
	Log      *slog.Logger // nil discards
}

// FleetReporter reports to the origin of a fleet. Reports wait on disk while it does not answer, so that an update never waits for it. Several processes
// with the same directory report as one machine.
type FleetReporter struct {
	cfg  FleetConfig
	wake chan struct{}

	mu   sync.Mutex
	last *fleet.Report // nil: nothing was told yet
}

const (
	maxSpooled    = 100 // reports; the oldest are dropped
	spoolPatience = time.Second
	reportTime    = 10 * time.Second // a request
)

// NewFleetReporter makes the directory.
func NewFleetReporter(c FleetConfig) (*FleetReporter, error) {
	c.Every = cmp.Or(c.Every, 5*time.Minute)
	c.Promise = max(cmp.Or(c.Promise, c.Every), time.Second)
	c.Client = cmp.Or(c.Client, http.DefaultClient)
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	if _, err := url.Parse(c.URL); err != nil {
		return nil, err
	}
	return &FleetReporter{cfg: c, wake: make(chan struct{}, 1)}, os.MkdirAll(filepath.Join(c.Dir, "sending"), 0o755)
}

// Retry returns the versions of an app that the origin wants tried again, once. Another process may have been told.
func (f *FleetReporter) Retry(app string) (versions []string) {
	path := f.retryFile(app)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	if err = json.Unmarshal(b, &versions); err == nil {
		err = os.Remove(path)
	}
	if err != nil {
		f.cfg.Log.Warn("what the origin wants tried again cannot be read", "err", err)
	}
	return versions
}

func (f *FleetReporter) retryFile(app string) string {
	return filepath.Join(f.cfg.Dir, "retry-"+app+".json")
}

// Report implements Reporter: the report is put to those that are to be sent.
func (f *FleetReporter) Report(r Report) {
	if r.Unwell != "" {
		r.Why += "; " + (&UnwellError{r.Previous, r.Unwell}).Error()
	}
	out := fleet.Report{
		Machine: r.Machine, App: r.App, Channel: r.Channel, Platform: f.cfg.Platform, Site: f.cfg.Site, Groups: f.cfg.Groups,
		State: string(r.State), Version: r.Version, Running: r.Running, Previous: r.Previous, Reason: string(r.Reason), Why: r.Why,
		Bytes: r.Bytes, From: fromOf(r.From), Seconds: max(0, r.Took.Seconds()), Healthy: r.Healthy,
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	out.Again = f.last != nil && f.last.State == out.State && f.last.Version == out.Version && f.last.Running == out.Running && f.last.Reason == out.Reason && f.last.Why == out.Why
	f.last = &out
	f.spool(out)
}

func fromOf(b [swarm.Classes]int64) fleet.From {
	return fleet.From{Reuse: b[swarm.Reuse], LAN: b[swarm.LAN], Peers: b[swarm.Peers], Edges: b[swarm.Edges], Origin: b[swarm.Origin]}
}

// spool writes a report to those that wait. What goes wrong is told and left: no update waits for it.
func (f *FleetReporter) spool(r fleet.Report) {
	if err := f.write(r); err != nil {
		f.cfg.Log.Warn("a report to the fleet's origin is lost", "err", err)
		return
	}
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// tail is what the next report is numbered after.
type tail struct {
	Sequence uint64 `json:"sequence"`
	Digest   string `json:"digest"`
}

func (f *FleetReporter) write(r fleet.Report) error {
	lock, err := lockPatiently(f.cfg.Dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	path := filepath.Join(f.cfg.Dir, "last.json")
	var last tail
	if b, err := os.ReadFile(path); err == nil {
		if err := json.Unmarshal(b, &last); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	r.Sequence, r.After = last.Sequence+1, last.Digest
	r.At, r.Every = time.Now().UTC().Truncate(time.Millisecond), int64(f.cfg.Promise/time.Second)
	body, err := r.Encode()
	if err != nil {
		return err
	}
	b, err := json.Marshal(tail{r.Sequence, fleet.Digest(body)})
	if err != nil {
		return err
	}
	// The number first: one that is left out says less than one that is used twice.
	if err := disk.WriteFile(path, b, 0o600); err != nil {
		return err
	}
	if err := disk.WriteFile(filepath.Join(f.cfg.Dir, fmt.Sprintf("%016d.report", r.Sequence)), body, 0o600); err != nil {
		return err
	}
	waiting, err := f.waiting()
	for len(waiting) > maxSpooled {
		err = errors.Join(err, os.Remove(waiting[0]))
		waiting = waiting[1:]
	}
	return err
}

// lockPatiently takes a directory that others have for moments only.
func lockPatiently(dir string) (*disk.DirLock, error) {
	for end := time.Now().Add(spoolPatience); ; time.Sleep(5 * time.Millisecond) {
		lock, err := disk.LockDir(dir)
		if err == nil || !errors.Is(err, disk.ErrHeld) || time.Now().After(end) {
			return lock, err
		}
	}
}

// waiting lists the reports that are to be sent, the oldest first.
func (f *FleetReporter) waiting() ([]string, error) {
	return filepath.Glob(filepath.Join(f.cfg.Dir, "*.report")) // sorted
}

// Flush sends what waits, oldest first. Another process that does so has it for itself.
func (f *FleetReporter) Flush(ctx context.Context) error {
	lock, err := disk.LockDir(filepath.Join(f.cfg.Dir, "sending"))
	if err != nil {
		return err
	}
	defer lock.Close()
	for {
		list, err := f.waiting()
		if err != nil || len(list) == 0 {
			return err
		}
		for _, path := range list {
			body, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			if err := f.send(ctx, body); err != nil {
				return err
			}
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
}

// send posts a report. One that the origin refuses is over and done with.
func (f *FleetReporter) send(ctx context.Context, body []byte) error {
	var a fleet.Answer
	err := postToFleet(ctx, f.cfg.Client, f.cfg.URL, fleet.ReportPath, f.cfg.Key, fleet.ForReport, body, &a)
	var refused *RefusedError
	if errors.As(err, &refused) && refused.Status/100 == 4 && refused.Status != http.StatusTooManyRequests {
		f.cfg.Log.Warn("the fleet's origin takes no such report", "err", err)
		return nil
	}
	if err != nil || len(a.Retry) == 0 {
		return err
	}
	r, err := fleet.ParseReport(body)
	if err != nil {
		return err
	}
	b, err := json.Marshal(a.Retry)
	if err != nil {
		return err
	}
	return disk.WriteFile(f.retryFile(r.App), b, 0o600)
}

// RefusedError is an origin that did not take what it was sent.
type RefusedError struct {
	Status int // of HTTP
	Text   string
}

func (e *RefusedError) Error() string { return "the fleet's origin answers " + e.Text }

// postToFleet posts a message to an origin, signed if there is a key, and reads the answer.
func postToFleet(ctx context.Context, client *http.Client, base, path string, key *fleet.Key, p fleet.Purpose, body []byte, a *fleet.Answer) error {
	ctx, cancel := context.WithTimeout(ctx, reportTime)
	defer cancel()
	u, err := url.Parse(base)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.JoinPath(path).String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if key != nil {
		key.Sign(req.Header, p, body)
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		text := string(b[:min(len(b), 200)])
		return &RefusedError{resp.StatusCode, strings.TrimSpace(resp.Status + ": " + strings.ToValidUTF8(text, ""))}
	}
	return json.Unmarshal(b, a)
}

// Enroll makes the reports of a machine count at the origin of a fleet.
func Enroll(ctx context.Context, origin, token, machine string, key *fleet.Key) error {
	body, err := json.Marshal(fleet.Enrollment{Token: token, Machine: machine})
	if err != nil {
		return err
	}
	return postToFleet(ctx, http.DefaultClient, origin, fleet.EnrollPath, key, fleet.ForEnrollment, body, new(fleet.Answer))
}

// Run sends reports until ctx is done: as they come, and again what was last when nothing has come for a while.
func (f *FleetReporter) Run(ctx context.Context) {
	failures := 0
	next := f.pause(failures)
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
			if failures > 0 { // it is tried again in its time
				continue
			}
		case <-time.After(next):
			f.mu.Lock()
			if list, _ := f.waiting(); f.last != nil && len(list) == 0 {
				again := *f.last
				again.Again = true
				f.spool(again)
			}
			f.mu.Unlock()
		}
		err := f.Flush(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil, errors.Is(err, disk.ErrHeld):
			failures = 0
		default:
			failures++
			f.cfg.Log.Debug("reports to the fleet's origin wait", "err", err, "failures", failures)
		}
		next = f.pause(failures)
	}
}

// pause is how long to wait before the next report, or before trying again: machines that were started together do not report together.
func (f *FleetReporter) pause(failures int) time.Duration {
	wait := f.cfg.Every
	if failures > 0 {
		wait = min(wait, 5*time.Second<<min(failures-1, 10))
	}
	return time.Duration(float64(wait) * (0.7 + 0.3*rand.Float64()))
}
