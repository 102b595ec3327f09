//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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

// machine is one that fetches.
type machine struct {
	host        *host
	out         string
	doneFile    string // comes to be when it has finished
	finishAtEnd bool   // its process ends when it has finished
	done        atomic.Int64

	arrive   time.Duration // after the beginning; negative: when others have finished
	vanish   time.Duration // after its arrival; 0: never
	unplug   bool          // and how
	gone     bool
	arrived  time.Time
	poisoner bool

	mu       sync.Mutex
	process  *process // nil before its arrival
	finished time.Time
	err      error
	code     int
	from     map[string]int64
	idle     map[string]float64
	wasted   int64
}

func (m *machine) finish(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.finished.IsZero() {
		m.finished = now
	}
}

func (m *machine) fail(err error, code int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.finished.IsZero() && m.err == nil {
		m.err, m.code = err, code
	}
}

// over says whether nothing is to be waited for any more.
func (m *machine) over() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.gone || m.poisoner || !m.finished.IsZero() || m.err != nil
}

// running is its process; nil before its arrival.
func (m *machine) running() *process {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.process
}

func (m *machine) hasFinished() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.finished.IsZero()
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

// plan decides who comes and goes when: the same in each round of that number, for all contenders.
func (r *round) plan() {
	rnd := rand.New(rand.NewPCG(r.scenario.Seed, uint64(r.number)))
	byGroup := map[group][]*machine{}
	var groups []group
	for _, h := range r.net.machines {
		m := &machine{host: h, out: filepath.Join(h.dir(r), "out"), poisoner: h.spec.Poisoner}
		switch {
		case h.spec.After > 0:
			m.arrive = -1
		case h.spec.Arrive > 0: // of a Poisson process, given how many come within the time
			m.arrive = time.Duration(rnd.Float64() * float64(h.spec.Arrive))
		}
		r.machines = append(r.machines, m)
		if byGroup[h.spec] == nil {
			groups = append(groups, h.spec)
		}
		byGroup[h.spec] = append(byGroup[h.spec], m)
	}
	for _, g := range groups {
		list := byGroup[g]
		rnd.Shuffle(len(list), func(i, k int) { list[i], list[k] = list[k], list[i] })
		for i, m := range list[:int(g.Vanish*float64(len(list))+0.5)] {
			m.vanish = time.Duration((0.1 + 0.7*rnd.Float64()) * cmp.Or(r.scenario.bound(), 10) * float64(time.Second))
			m.unplug = i%2 == 1
		}
	}
}

// prepare starts all that must be there before machines come.
func (r *round) prepare(ctx context.Context) error {
	if r.contender.byTracker() {
		p, err := r.start(ctx, r.net.tracker, nil, nil, r.lab.shoal, "tracker", "--open", "--json", "--listen", ":6969")
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

// arrivals starts the machines whose time has come.
func (r *round) arrivals(ctx context.Context) error {
	finished := 0
	for _, m := range r.machines {
		if m.hasFinished() {
			finished++
		}
	}
	for i, m := range r.machines {
		if !m.arrived.IsZero() || m.arrive >= 0 && time.Since(r.begin) < m.arrive || m.arrive < 0 && finished < m.host.spec.After {
			continue
		}
		if err := os.Mkdir(m.out, 0o755); err != nil {
			return err
		}
		m.arrived = time.Now()
		start := programs()[r.contender.machines[i%len(r.contender.machines)]].machine
		if m.poisoner {
			start = startPoisoner
		}
		p, err := start(ctx, r, m)
		if err != nil {
			return err
		}
		m.mu.Lock()
		m.process = p
		m.mu.Unlock()
	}
	return nil
}

// departures takes away the machines that are to vanish, unless they have finished already.
func (r *round) departures() {
	for _, m := range r.machines {
		if m.vanish > 0 && !m.gone && !m.arrived.IsZero() && time.Since(m.arrived) > m.vanish && !m.hasFinished() {
			r.take(m, m.unplug)
		}
	}
}

func (r *round) take(m *machine, unplug bool) {
	m.gone = true
	if unplug {
		m.host.unplug()
		return
	}
	if m.process != nil {
		m.process.kill()
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

// look finds out who has finished; true when all have.
func (r *round) look() bool {
	all := true
	for _, m := range r.machines {
		if m.arrived.IsZero() {
			all = false
			continue
		}
		if m.doneFile != "" && !m.over() {
			if info, err := os.Stat(m.doneFile); err == nil {
				m.finish(info.ModTime())
			}
		}
		if !m.over() && m.process.hasEnded() {
			if m.finishAtEnd && m.process.code == 0 {
				m.finish(m.process.endedAt)
			} else {
				m.fail(fmt.Errorf("ended with code %d", m.process.code), m.process.code)
			}
		}
		all = all && m.over()
	}
	return all
}

// tails is what the processes said last.
func (r *round) tails() string {
	var b strings.Builder
	for _, p := range r.running[:min(len(r.running), 4)] {
		b.WriteString(p.tail() + "\n")
	}
	return b.String()
}
