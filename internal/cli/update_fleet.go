package cli

import (
	"cmp"
	"context"
	"path/filepath"
	"sync"
	"time"

	"shoal/internal/fleet"
	"shoal/internal/release"
	"shoal/internal/updater"
)

const (
	// flushTime is for how long what a command has to report keeps it from ending.
	flushTime = 5 * time.Second
	// enrollTime is how often an update that goes on looks whether the machine was enrolled meanwhile.
	enrollTime = 2 * time.Second
)

// reporting runs something that installs, and has it reported to the origin of the fleet: the one that this machine is enrolled with, or --report. f says more about
// the machine, as far as the command knows it.
func (e *env) reporting(ctx context.Context, c *updater.Config, f updater.FleetConfig, run func(context.Context) error) error {
	state := e.settings.String("state-dir")
	f.URL, f.Dir, f.Every, f.Groups, f.Log = e.settings.String("report"), filepath.Join(state, "reports"), e.settings.Duration("report-every"), c.Groups, e.log
	f.Promise = max(f.Promise, f.Every)
	f.Platform = cmp.Or(f.Platform, release.ThisPlatform())
	r := &fleetReports{e: e, machine: c.Machine, cfg: f}
	running, stop := context.WithCancel(ctx)
	defer stop()
	if err := r.look(running); err != nil {
		return err
	}
	c.Reporter, c.Retry, c.Fleet = updater.Reporters{c.Reporter, r}, r.retry, r.fleet
	r.sending.Go(func() { r.watch(running) })
	err := run(ctx)
	stop()
	r.sending.Wait()
	if r.to == nil {
		return err
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTime)
	defer cancel()
	if err := r.to.Flush(last); err != nil {
		e.log.Info("reports to the fleet's origin wait for the next time", "err", err)
	}
	return err
}

// fleetReports reports to the origin that the machine is enrolled with, which may be another after a while.
type fleetReports struct {
	e       *env
	machine string
	cfg     updater.FleetConfig // URL: what --report says
	sending sync.WaitGroup

	mu   sync.Mutex
	in   enrollment // as it was last seen
	to   *updater.FleetReporter
	stop context.CancelFunc // of what sends there
	lock updater.Lock
	last *updater.Report
}

// look takes in where the machine is enrolled, and reports there until ctx is done.
func (r *fleetReports) look(ctx context.Context) error {
	found, err := r.e.enrollment()
	if err != nil {
		return err
	}
	var in enrollment
	if found != nil {
		in = *found
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.to != nil && in == r.in {
		return nil
	}
	f := r.cfg
	f.URL = cmp.Or(f.URL, in.URL)
	if f.URL == "" {
		return nil
	}
	state := r.e.settings.String("state-dir")
	var lock updater.Lock
	if in.URL == f.URL {
		if f.Key, err = fleet.LoadKey(state); err != nil {
			return err
		}
		lock = &updater.FleetLock{URL: in.URL, ID: r.machine, Group: optional(f.Groups)}
	}
	to, err := updater.NewFleetReporter(f)
	if err != nil {
		return stateHint(err, state)
	}
	if r.stop != nil {
		r.stop()
	}
	ctx, r.stop = context.WithCancel(ctx)
	r.in, r.to, r.lock = in, to, lock
	if r.last != nil {
		to.Report(*r.last)
	}
	r.sending.Go(func() { to.Run(ctx) })
	return nil
}

// watch looks again and again.
func (r *fleetReports) watch(ctx context.Context) {
	tick := time.NewTicker(enrollTime)
	defer tick.Stop()
	told := ""
	for {
		select {
		case <-tick.C:
			now := ""
			if err := r.look(ctx); err != nil {
				now = err.Error()
			}
			if now != "" && now != told {
				r.e.log.Warn("where this machine is enrolled cannot be read", "err", now)
			}
			told = now
		case <-ctx.Done():
			return
		}
	}
}

// Report implements [updater.Reporter].
func (r *fleetReports) Report(x updater.Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = &x
	if r.to != nil {
		r.to.Report(x)
	}
}

func (r *fleetReports) retry(app string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.to == nil {
		return nil
	}
	return r.to.Retry(app)
}

func (r *fleetReports) fleet() updater.Lock {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lock
}
