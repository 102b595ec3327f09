package swarm

import (
	"slices"
	"time"
)

// meter measures rates over seconds.
type meter struct {
	at       time.Time
	up       int64
	lastDown []reading // what had come, from a second ago on; see measureDown
}

// reading is how many bytes had come at a time.
type reading struct {
	at time.Time
	n  int64
}

// came is how many bytes have come over the net.
func (c *counts) came() (n int64) {
	for i := range c.from {
		if Class(i) != Reuse {
			n += c.from[i].Load()
		}
	}
	return n
}

// measureDown takes in what came during the second before now. It is done at each tick and when a fetch is complete, as what is fast at last seldom ends with a second
// of the clock's. It is a second in any case: a shorter time has no rate to speak of, as what lay ready in buffers on the way comes at that of the memory.
func (s *session) measureDown(now time.Time) {
	c, m := &s.t.counts, &s.meter
	n := c.came()
	m.lastDown = append(m.lastDown, reading{now, n})
	begin := 0
	for begin+1 < len(m.lastDown) && now.Sub(m.lastDown[begin+1].at) >= time.Second {
		begin++
	}
	m.lastDown = slices.Delete(m.lastDown, 0, begin)
	first := m.lastDown[0]
	if d := now.Sub(first.at); d >= time.Second {
		c.downRate.Store(int64(float64(n-first.n) / d.Seconds()))
		c.peakDownPerSec.Store(max(c.peakDownPerSec.Load(), c.downRate.Load()))
	}
}

func (s *session) meterTick(now time.Time) {
	c := &s.t.counts
	s.measureDown(now)
	var up int64
	for i := range c.to {
		up += c.to[i].Load()
	}
	if s.meter.at.IsZero() {
		s.meter.at, s.meter.up = now, up
		s.companySince = now
		s.delivery.look(now)
		return
	}
	d := now.Sub(s.meter.at)
	if d < time.Second {
		return
	}
	c.upRate.Store(int64(float64(up-s.meter.up) / d.Seconds()))
	c.peakUp.Store(max(c.peakUp.Load(), c.upRate.Load()))
	s.meter.at, s.meter.up = now, up
	s.delivery.look(now)
	s.acrossRate, s.arrives = 0, [lanes]float64{}
	for _, p := range s.conns {
		p.meterTick(d)
		s.arrives[p.lane.Load()] += p.rateDown
		if s.crosses(p) {
			s.acrossRate += p.rateDown
		}
	}
	s.compareGivers()
}
