//go:build linux

// Command fleetload measures an origin with a large fleet: machines that each report and ask for something new every few minutes, each time on a new connection.
// scripts/fleet-figures.sh builds it, and runs it and the origin on separate cores.
//
// It makes a repository and the state directory of an origin that knows all machines already, starts `shoal serve` with them, and posts signed reports and
// polls at random times at the rate that so many machines have. A request's time is from dialling to the end of the answer.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"shoal/internal/fleet"
	"shoal/internal/rollout"
	"shoal/scripts/internal/program"
)

func main() {
	l := &load{}
	flag.StringVar(&l.shoal, "shoal", "shoal", "the program")
	flag.StringVar(&l.dir, "dir", ".", "directory for temporary files")
	flag.IntVar(&l.machines, "machines", 100_000, "machines")
	flag.DurationVar(&l.every, "every", 5*time.Minute, "how often each reports, and polls")
	flag.DurationVar(&l.time, "time", 30*time.Second, "length of the measurement")
	flag.Float64Var(&l.new, "new", 0.01, "share of the reports that say something new")
	flag.StringVar(&l.core, "origin-core", "0", "the core of the origin, as taskset has it")
	flag.StringVar(&l.priority, "fifo", "5", "real-time priority of the origin")
	flag.Parse()
	program.Main("fleetload", l.run)
}

// load is a fleet, and the origin that it is measured with.
type load struct {
	shoal, dir, core, priority string
	machines                   int
	every, time                time.Duration
	new                        float64

	keys []*fleet.Key
	base string
}

func (l *load) run(ctx context.Context) error {
	repo, state := filepath.Join(l.dir, "repo"), filepath.Join(l.dir, "state")
	content := filepath.Join(l.dir, "content")
	if err := os.WriteFile(content, []byte("one\n"), 0o644); err != nil {
		return err
	}
	if err := os.MkdirAll(state, 0o755); err != nil {
		return err
	}
	for _, args := range [][]string{{"init", repo, "--plain-keys"}, {"publish", content, "--as", "app@1", "--channel", "stable", "--repo", repo}} {
		if out, err := exec.CommandContext(ctx, l.shoal, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w\n%s", args, err, out)
		}
	}
	begun := time.Now()
	if err := l.enroll(ctx, filepath.Join(state, "state.db")); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d machines enrolled in %.1f s\n", l.machines, time.Since(begun).Seconds())
	addr, err := program.FreeAddr()
	if err != nil {
		return err
	}
	l.base = "http://" + addr
	origin := exec.CommandContext(ctx, "taskset", "-c", l.core, "chrt", "-f", l.priority, l.shoal, "serve", repo, "--listen", addr, "--state-dir", state, "--no-lan", "--dht", "off", "-q")
	origin.Env, origin.Stderr = append(os.Environ(), "GOMAXPROCS=1"), os.Stderr
	if err := origin.Start(); err != nil {
		return err
	}
	defer func() {
		origin.Process.Signal(os.Interrupt)
		origin.Wait()
	}()
	if err := l.ready(ctx); err != nil {
		return err
	}
	return l.measure(ctx, origin.Process.Pid)
}

// inTx is a store whose transactions are all parts of one.
type inTx struct{ tx rollout.Tx }

func (s inTx) Update(_ context.Context, f func(rollout.Tx) error) error { return f(s.tx) }
func (s inTx) View(_ context.Context, f func(rollout.Tx) error) error   { return f(s.tx) }
func (s inTx) Close() error                                             { return nil }

// enroll makes the keys of all machines, and has a store know them.
func (l *load) enroll(ctx context.Context, path string) error {
	store, err := rollout.OpenBolt(path)
	if err != nil {
		return err
	}
	defer store.Close()
	token, _, err := rollout.NewReports(store, rollout.ReportsConfig{}).Token(ctx, time.Hour)
	if err != nil {
		return err
	}
	const batch = 10_000
	for len(l.keys) < l.machines {
		err := store.Update(ctx, func(tx rollout.Tx) error {
			reports := rollout.NewReports(inTx{tx}, rollout.ReportsConfig{})
			for range min(batch, l.machines-len(l.keys)) {
				k := fleet.NewKey()
				if err := reports.Enroll(ctx, k.ID(), &fleet.Enrollment{Token: token, Machine: machine(len(l.keys))}); err != nil {
					return err
				}
				l.keys = append(l.keys, k)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func machine(n int) string { return fmt.Sprintf("%032x", n) }
