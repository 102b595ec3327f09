package updater

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"shoal/internal/disk"
	"shoal/internal/schedule"
)

// Errors that callers tell apart.
var (
	// ErrHeld is that there is another version, and it is not to be installed now. A *HeldError says why.
	ErrHeld = errors.New("held")
	// ErrHalted is the same where the fleet's rollout was halted.
	ErrHalted = errors.New("rollout halted")
	// ErrRolledBack is that a version was installed, and was found bad: the one before is in place again.
	ErrRolledBack = errors.New("rolled back")
	// ErrLayout is that what lies at TO is not what was asked for.
	ErrLayout = errors.New("not the place for it")
	// ErrNothing is that there is nothing to go back to, or to pin.
	ErrNothing = errors.New("no such version here")
)

// HeldError says why a version is not installed now.
type HeldError struct {
	App, Version string
	Decision     Decision
}

func (e *HeldError) Error() string {
	text := fmt.Sprintf("%s@%s is held (%s): %s", e.App, e.Version, e.Decision.Reason, e.Decision.Why)
	if !e.Decision.Until.IsZero() {
		text += ", until " + e.Decision.Until.Local().Format(time.RFC3339)
	}
	return text
}

func (e *HeldError) Is(target error) bool {
	return target == ErrHeld || target == ErrHalted && e.Decision.Reason == HeldHalted
}

// RolledBackError says why a version is not the one in place.
type RolledBackError struct {
	App, Version, Previous string // Previous "": nothing is installed
	Why                    string
	Pinned                 bool         // Version is: then no other comes next
	Unwell                 *UnwellError // nil: Previous is well, as far as anybody has asked
}

func (e *RolledBackError) Error() string {
	now := e.Previous + " is in place again"
	switch {
	case e.Previous == "":
		now = "nothing is installed, as before"
	case e.Unwell != nil:
		now = e.Unwell.Error()
	}
	return fmt.Sprintf("%s@%s: %s; %s", e.App, e.Version, e.Why, now)
}

func (e *RolledBackError) Is(target error) bool { return target == ErrRolledBack }

func (e *RolledBackError) Unwrap() error {
	if e.Unwell == nil {
		return nil
	}
	return e.Unwell
}

// UnwellError says why the version that was gone back to is not well either.
type UnwellError struct{ Version, Why string }

func (e *UnwellError) Error() string {
	return fmt.Sprintf("%s is in place again, and not well either: %s", e.Version, e.Why)
}

// Config configures an Updater.
type Config struct {
	To      string // where it is installed
	InPlace bool   // To is a file, which is replaced

	Name     string // what the user calls the source; may be empty for what asks no source
	App      string // what is installed; "": as it is known from before
	Channel  string
	Platform string // that is remembered for the next time, "": the one that was
	Source   Source // nil for what asks none

	Hooks
	Policy      string        // a command that is asked whether it may be; may be empty
	HealthEvery time.Duration // zero means a second, or a fifth of HealthTimeout if that is less

	Keep     int              // versions that stay, the one in place included; less than 1: as many as the last time, 2 at first
	Window   schedule.Windows // when the machine may change; nil: always
	MaxDefer time.Duration    // after which window and policy count no more; 0: never
	Every    time.Duration    // how often to ask, for Run; zero means 15 minutes

	Machine string      // stable, and no other's
	Groups  []string    // that it belongs to
	Lock    Lock        // nil: any number of machines may switch at once
	Fleet   func() Lock // of the origin, which counts who comes in a wave of so many machines, and is asked then instead of Lock; nil, or if it returns that: such a wave does not reach this machine
	// Retry says which versions of an app to try again that the machine had to go back from; nil: there are none.
	Retry func(app string) []string

	Reporter Reporter          // may be nil
	Notice   func(text string) // is told what whoever put something of his own into a version should know; nil: it is logged
	Log      *slog.Logger
	Now      func() time.Time // nil means time.Now
}

// Hooks are commands for the shell; each may be empty. They are kept in the journal, so that a rollback by hand runs them as well.
type Hooks struct {
	Pre           string        `json:"pre,omitempty"`
	Post          string        `json:"post,omitempty"`
	Health        string        `json:"health,omitempty"`         // also a URL
	HookTimeout   time.Duration `json:"hook_timeout,omitempty"`   // of each, in nanoseconds; zero means 5 minutes
	HealthTimeout time.Duration `json:"health_timeout,omitempty"` // for all checks together; zero means a minute
}

func (c Config) withDefaults() Config {
	c.HookTimeout = cmp.Or(c.HookTimeout, 5*time.Minute)
	c.HealthTimeout = cmp.Or(c.HealthTimeout, time.Minute)
	c.HealthEvery = cmp.Or(c.HealthEvery, min(time.Second, c.HealthTimeout/5))
	c.Every = cmp.Or(c.Every, 15*time.Minute)
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Updater keeps one app on this machine up to date. It is for one goroutine.
type Updater struct {
	cfg     Config
	layout  *layout
	drive   drive
	journal *journal
	app     string

	begun  time.Time // of the update that is under way
	staged staged    // what was verified by this process, and waits
	offer  *Offer    // what was offered last; nil: nothing yet
	told   Report    // the last report of being held, which is not told again and again
	last   State     // that was told
}

// New checks what lies at c.To. Each of the methods that change something takes the installation for this process while it lasts; another process that has it is a
// disk.ErrHeld.
func New(c Config) (*Updater, error) { return newUpdater(c, nil) }

func newUpdater(c Config, before func(op)) (*Updater, error) {
	u := &Updater{cfg: c.withDefaults(), drive: drive{before}}
	var err error
	if u.layout, err = newLayout(c.To, c.InPlace, &u.drive); err == nil {
		u.layout.called = u.fileOf
	}
	return u, err
}

// take takes the installation, and reads what is known of it. Where there is none its directories are made.
func (u *Updater) take() (done func(), err error) {
	u.begun = u.cfg.Now()
	if err := u.layout.make(); err != nil {
		return nil, err
	}
	lock, err := disk.LockDir(u.layout.state)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(u.endHook(), u.read()); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return func() { lock.Close() }, nil
}

func (u *Updater) read() (err error) {
	var damaged error
	if u.journal, damaged, err = u.layout.readJournal(); err != nil {
		return err
	}
	j := u.journal
	if u.app, err = sameApp(j, u.cfg); err != nil {
		return err
	}
	j.App = u.app
	if u.cfg.Name != "" {
		j.Source, j.Platform = u.cfg.Name, cmp.Or(u.cfg.Platform, j.Platform)
	}
	if u.cfg.Keep > 0 {
		j.Keep = u.cfg.Keep
	}
	if damaged != nil {
		u.cfg.Log.Warn("the journal of what is installed was damaged, and is made anew from its copy", "path", u.layout.journal(), "err", damaged)
	}
	if damaged != nil || u.layout.known() && !disk.Exists(u.layout.copy()) { // an older shoal made none
		return u.save()
	}
	return nil
}

// sameApp is the app that is installed. Another one cannot take its place.
func sameApp(j *journal, c Config) (string, error) {
	if j.App != "" && c.App != "" && j.App != c.App {
		return "", fmt.Errorf("%w: %s has %s, not %s", ErrLayout, c.To, j.App, c.App)
	}
	return cmp.Or(c.App, j.App), nil
}

func (u *Updater) save() error {
	b, err := u.journal.encode()
	if err != nil {
		return err
	}
	if err := u.drive.write(u.layout.copy(), b); err != nil {
		return err
	}
	return u.drive.write(u.layout.journal(), b)
}

// Once brings the machine to where it should be, if that may be now: nil means that it is there. What was interrupted before is brought to an end first.
func (u *Updater) Once(ctx context.Context) error {
	done, err := u.take()
	if err != nil {
		return err
	}
	defer done()
	err = u.once(ctx)
	if err != nil && ctx.Err() == nil && !errors.Is(err, ErrHeld) && u.last != StateRolledBack && u.last != StateFailed {
		u.tell(Report{State: StateError, Version: u.journal.Seen.Version, Why: err.Error()})
	}
	return err
}

func (u *Updater) once(ctx context.Context) error {
	if err := u.recover(ctx); err != nil {
		return err
	}
	o, err := u.cfg.Source.Check(ctx, Ask{Version: u.journal.Pinned, Running: u.journal.Running})
	if err != nil {
		return err
	}
	if u.cfg.Retry != nil {
		if err := u.forgive(u.cfg.Retry(o.App)); err != nil {
			return err
		}
	}
	u.offer = o
	if u.journal.Seen.Version != o.Version || u.journal.Hooks != u.cfg.Hooks {
		if u.journal.Hooks = u.cfg.Hooks; u.journal.Seen.Version != o.Version {
			u.journal.Seen = seen{o.Version, u.cfg.Now()}
		}
		if err := u.save(); err != nil {
			return err
		}
	}
	d := decide(situation(u.cfg, u.journal, o))
	if d.Action == Install && u.cfg.Policy != "" {
		if d, err = u.askPolicy(ctx, o); err != nil {
			return err
		}
	}
	if d.Action == Install {
		if err := u.layout.free(u.journal, o.Version); err != nil { // before anything is fetched, or a slot taken
			return err
		}
	}
	counted := d.Counted
	if d.Action == Install && counted { // before anything is fetched that may never be installed
		if d, err = u.acquire(ctx, o, counted); err != nil {
			return err
		}
	}
	switch d.Action {
	case Stay:
		u.tell(Report{State: StateCurrent, Version: o.Version})
		return u.prune()
	case Hold:
		return u.hold(o, d)
	}
	if o.Withdrawn != "" {
		u.cfg.Log.Warn("the version that runs was taken back", "version", u.journal.Running, "why", o.Withdrawn)
	}
	if err := u.stage(ctx, o); err != nil {
		return err
	}
	if d, err = u.acquire(ctx, o, counted); err != nil {
		return err
	}
	if d.Action == Hold {
		return u.hold(o, d)
	}
	return u.update(ctx, o.Version, o.V2, o.Bytes, false)
}

// forgive has versions tried again.
func (u *Updater) forgive(versions []string) error {
	n := len(u.journal.Bad)
	for _, v := range versions {
		u.journal.forgive(v)
	}
	if len(u.journal.Bad) == n {
		return nil
	}
	u.cfg.Log.Info("versions that were bad here are tried again", "versions", versions)
	return u.save()
}

// fleet is who counts this machine in; nil: nobody.
func (c *Config) fleet() Lock {
	if c.Fleet == nil {
		return nil
	}
	return c.Fleet()
}

// situation is what a decision depends on.
func situation(c Config, j *journal, o *Offer) Situation {
	s := Situation{Now: c.Now(), Offer: o, Running: j.Running, Since: j.Seen.At, Bad: j.badVersions(), Pinned: j.Pinned, Machine: c.Machine, Groups: c.Groups, Asks: c.fleet() != nil, Window: c.Window, MaxDefer: c.MaxDefer}
	if j.Seen.Version != o.Version {
		s.Since = s.Now
	}
	return s
}

// askPolicy asks the policy hook, which says no by its exit code. After --max-defer its answer counts no more.
func (u *Updater) askPolicy(ctx context.Context, o *Offer) (Decision, error) {
	s := situation(u.cfg, u.journal, o)
	err := u.runHook(ctx, "policy", u.cfg.Policy, o.Version, u.journal.Running, false)
	var hook *HookError
	if errors.As(err, &hook) {
		s.Refused, err = hook.Error(), nil
	}
	return decide(s), err
}

// hold reports why nothing is installed, once for the same reason, and returns it.
func (u *Updater) hold(o *Offer, d Decision) error {
	r := Report{State: StateHeld, Version: o.Version, Previous: u.journal.Running, Reason: d.Reason, Why: d.Why, Until: d.Until, Bytes: o.Bytes}
	if r.Version != u.told.Version || r.Reason != u.told.Reason {
		u.told = r
		u.tell(r)
	}
	return &HeldError{u.app, o.Version, d}
}

// notice tells something that is no step.
func (u *Updater) notice(text string) {
	if u.cfg.Notice == nil {
		u.cfg.Log.Warn("to be known", "what", text)
		return
	}
	u.cfg.Notice(text)
}

// tell tells a step.
func (u *Updater) tell(r Report) {
	u.last = r.State
	if u.cfg.Reporter == nil {
		return
	}
	r.Machine, r.App, r.Channel, r.Running = u.cfg.Machine, u.app, u.cfg.Channel, u.journal.Running
	r.Took = u.cfg.Now().Sub(u.begun)
	if f := u.staged.fetched; f != nil && u.staged.version == r.Version {
		r.From, r.Way, r.Base = f.From, f.Way, f.Base
	}
	u.cfg.Reporter.Report(r)
}
