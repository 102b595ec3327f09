//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// round is one delivery by one contender in a network of its own.
type round struct {
	lab       *lab
	scenario  *scenario
	contender contender
	number    int
	dir       string // everything of this round
	content   string // what is delivered
	torrent   string // describes it, if a contender wants that
	infohash  [20]byte

	net           *network
	url           string // where shoal's origin offers it
	originProcess *process
	payload       func() (peers, web int64, err error) // content bytes that the origin gave; nil: unknown
	machines      []*machine
	running       []*process
	processes     sync.WaitGroup
	begin         time.Time
	watch         *watch
	sent, sentWeb int64 // by payload, at the end
}

func (s *scenario) stay() bool { return !s.Leave }

// file is where a machine is to have the content.
func (r *round) file(m *machine) string { return filepath.Join(m.out, filepath.Base(r.content)) }

// dir is where a host keeps its things.
func (h *host) dir(r *round) string { return filepath.Join(r.dir, h.name) }

// run carries the round through, and removes all that it made but its directory.
func (r *round) run(ctx context.Context) (*result, error) {
	var err error
	if r.net, err = buildNetwork(ctx, r.scenario); err != nil {
		return nil, err
	}
	defer r.net.remove()
	for _, h := range append([]*host{r.net.origin, r.net.tracker}, r.net.machines...) {
		if err := os.MkdirAll(h.dir(r), 0o755); err != nil {
			return nil, err
		}
	}
	r.plan()
	running, stop := context.WithCancel(ctx)
	defer r.processes.Wait()
	defer stop()
	if err := r.prepare(running); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, r.tails())
	}
	for _, p := range r.running {
		if err := p.ready(); err != nil {
			return nil, err
		}
	}
	if r.watch, err = newWatch(r); err != nil {
		return nil, err
	}
	defer r.watch.close()
	g, watching := errgroup.WithContext(running)
	over, done := context.WithCancel(watching)
	g.Go(func() error { return r.watch.run(over) })
	g.Go(func() error { defer done(); return r.carry(watching, running) })
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, r.tails())
	}
	if r.payload != nil && !r.originProcess.hasEnded() {
		if r.sent, r.sentWeb, err = r.payload(); err != nil {
			return nil, fmt.Errorf("asking the origin what it sent: %w", err)
		}
	}
	for _, p := range r.running {
		p.measure()
	}
	stop()
	r.processes.Wait()
	return r.result()
}

// prepare starts all that must be there before machines come.
func (r *round) prepare(ctx context.Context) error {
	if r.contender.byTracker() {
		p, err := r.start(ctx, r.net.tracker, nil, r.lab.shoal, "tracker", "--open", "--json", "--listen", ":6969")
		if err != nil {
			return err
		}
		if err := r.poll(ctx, p, func() (bool, error) {
			_, err := r.complete(ctx)
			return err == nil, nil
		}); err != nil {
			return err
		}
	}
	return programs()[r.contender.origin].origin(ctx, r)
}

// patience bounds how long preparations take.
const patience = 2 * time.Minute

// await waits for what a process says.
func (r *round) await(ctx context.Context, p *process, ready <-chan struct{}) error {
	select {
	case <-ready:
		return nil
	case <-p.ended:
		return fmt.Errorf("%s ended with code %d", p.what, p.code)
	case <-time.After(patience):
		return fmt.Errorf("%s is not ready after %s", p.what, patience)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// poll asks until it is told yes.
func (r *round) poll(ctx context.Context, p *process, ready func() (bool, error)) error {
	for late := time.Now().Add(patience); ; {
		ok, err := ready()
		switch {
		case err != nil:
			return err
		case ok:
			return nil
		case p.hasEnded():
			return fmt.Errorf("%s ended with code %d", p.what, p.code)
		case time.Now().After(late):
			return fmt.Errorf("%s is not ready after %s", p.what, patience)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// carry has machines come, lets happen what is planned, and returns when nothing is left to wait for.
func (r *round) carry(ctx, running context.Context) error {
	r.begin = time.Now()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	events := slices.Clone(r.scenario.Events)
	for {
		if err := r.arrivals(running); err != nil {
			return err
		}
		r.departures()
		events = slices.DeleteFunc(events, r.happens)
		if r.look() {
			return nil
		}
		if time.Since(r.begin) > time.Duration(r.scenario.Timeout) {
			for _, m := range r.machines {
				m.fail(errors.New("not finished when the round's time was over"), -1)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// happens carries out an event if its time has come.
func (r *round) happens(e event) bool {
	if e.At > 0 && time.Since(r.begin) < time.Duration(e.At) || e.Copies > 0 && r.watch.originCopies() < e.Copies {
		return false
	}
	for _, list := range []struct {
		names  []string
		unplug bool
	}{{e.Kill, false}, {e.Unplug, true}} {
		for _, name := range list.names {
			if name == "origin" {
				if list.unplug {
					r.net.origin.unplug()
				} else {
					r.originProcess.kill()
				}
				continue
			}
			for _, m := range r.machines {
				if m.host.name == name {
					r.take(m, list.unplug)
				}
			}
		}
	}
	return true
}

// tails is what the processes said last.
func (r *round) tails() string {
	var b strings.Builder
	for _, p := range r.running[:min(len(r.running), 4)] {
		b.WriteString(p.tail() + "\n")
	}
	return b.String()
}
