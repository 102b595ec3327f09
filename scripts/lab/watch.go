//go:build linux

package main

import (
	"context"
	"io/fs"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"
)

// watch reads the links' counters and the machines' progress while a round runs.
type watch struct {
	round  *round
	meters map[*namespace]*meters
	links  []*link
	series []sample
	copies atomic.Int64 // thousandths of the content that the origin's link has carried, headers taken off
}

// sample is one moment. The links' and machines' figures are in their order.
type sample struct {
	at      time.Time
	carried []uint64
	backlog []uint32
	done    []int64
}

const sampleEvery = 250 * time.Millisecond

// headers is what Ethernet, IP and TCP add to content: 1514 bytes carry 1448.
const headers = 1514.0 / 1448

func newWatch(r *round) (*watch, error) {
	w := &watch{round: r, meters: make(map[*namespace]*meters)}
	hosts := append([]*host{r.net.origin}, r.net.machines...)
	for _, h := range hosts {
		w.links = append(w.links, h.way.up, h.way.down)
	}
	for _, s := range r.scenario.Sites {
		x := r.net.sites[s.Name]
		w.links = append(w.links, x.up, x.down)
	}
	for _, l := range w.links {
		if w.meters[l.ns] != nil {
			continue
		}
		m, err := l.ns.meters()
		if err != nil {
			w.close()
			return nil, err
		}
		w.meters[l.ns] = m
	}
	return w, nil
}

func (w *watch) close() {
	for _, m := range w.meters {
		m.close()
	}
}

// run reads until ctx is done, and once more then.
func (w *watch) run(ctx context.Context) error {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		if err := w.read(); err != nil {
			return err
		}
		if n%2 == 0 {
			for _, m := range w.round.machines {
				if p := m.running(); p != nil {
					p.measure()
				}
			}
			w.round.originProcess.measure()
		}
		select {
		case <-ctx.Done():
			return w.read()
		case <-tick.C:
		}
	}
}

func (w *watch) read() error {
	s := sample{at: time.Now()}
	queues := make(map[*namespace]map[int32]reading)
	for ns, m := range w.meters {
		q, err := m.read()
		if err != nil {
			return err
		}
		queues[ns] = q
	}
	for _, l := range w.links {
		q := queues[l.ns][l.index]
		s.carried = append(s.carried, q.bytes)
		s.backlog = append(s.backlog, q.backlog)
	}
	for _, m := range w.round.machines {
		s.done = append(s.done, w.round.progress(m))
	}
	w.series = append(w.series, s)
	w.copies.Store(int64(1000 * float64(s.carried[0]-w.series[0].carried[0]) / headers / float64(w.round.scenario.Size)))
	return nil
}

// originCopies is how often the content went over the origin's link so far, by its counter.
func (w *watch) originCopies() float64 { return float64(w.copies.Load()) / 1000 }

// progress is how much a machine has: what it says, or else what its files take up.
func (r *round) progress(m *machine) (n int64) {
	if m.hasFinished() {
		return int64(r.scenario.Size)
	}
	if n = m.done.Load(); n > 0 {
		return n
	}
	filepath.WalkDir(m.out, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // files come and go under our eyes
		}
		if info, err := d.Info(); err == nil {
			n += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return nil
	})
	return min(n, int64(r.scenario.Size))
}
