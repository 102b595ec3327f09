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

// flushTime is for how long what a command has to report keeps it from ending.
const flushTime = 5 * time.Second

// reporting runs something that installs, and has it reported to the origin of the fleet: the one that this machine is enrolled with, or --report. f says more about
// the machine, as far as the command knows it.
func (e *env) reporting(ctx context.Context, c *updater.Config, f updater.FleetConfig, run func(context.Context) error) error {
	state := e.settings.String("state-dir")
	in, err := e.enrollment()
	if err != nil {
		return err
	}
	f.URL, f.Dir, f.Every, f.Groups, f.Log = e.settings.String("report"), filepath.Join(state, "reports"), e.settings.Duration("report-every"), c.Groups, e.log
	f.Promise = max(f.Promise, f.Every)
	f.Platform = cmp.Or(f.Platform, release.ThisPlatform())
	if f.URL == "" && in != nil {
		f.URL = in.URL
	}
	if f.URL == "" {
		return run(ctx)
	}
	if in != nil && in.URL == f.URL {
		if f.Key, err = fleet.LoadKey(state); err != nil {
			return err
		}
		c.Fleet = &updater.FleetLock{URL: in.URL, ID: c.Machine, Group: optional(c.Groups)}
	}
	r, err := updater.NewFleetReporter(f)
	if err != nil {
		return stateHint(err, state)
	}
	c.Reporter, c.Retry = updater.Reporters{c.Reporter, r}, r.Retry
	var sending sync.WaitGroup
	running, stop := context.WithCancel(ctx)
	sending.Go(func() { r.Run(running) })
	err = run(ctx)
	stop()
	sending.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTime)
	defer cancel()
	if err := r.Flush(last); err != nil {
		e.log.Info("reports to the fleet's origin wait for the next time", "err", err)
	}
	return err
}
