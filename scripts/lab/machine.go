//go:build linux

package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

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
	held     map[string]float64
	lost     [][2]int // first and last of each run of pieces that it says nobody has
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
