package swarm

import "time"

// meter measures rates over seconds.
type meter struct {
	at       time.Time
	down, up int64
}

func (s *session) meterTick(now time.Time) {
	c := &s.t.counts
	var down, up int64
	for i := range c.from {
		if Class(i) != Reuse {
			down += c.from[i].Load()
		}
		up += c.to[i].Load()
	}
	if s.meter.at.IsZero() {
		s.meter = meter{now, down, up}
		s.companySince = now
		s.delivery.look(now)
		return
	}
	d := now.Sub(s.meter.at)
	if d < time.Second {
		return
	}
	perSec := func(n int64) int64 { return int64(float64(n) / d.Seconds()) }
	c.downRate.Store(perSec(down - s.meter.down))
	c.upRate.Store(perSec(up - s.meter.up))
	c.peakUp.Store(max(c.peakUp.Load(), c.upRate.Load()))
	c.peakDownPerSec.Store(max(c.peakDownPerSec.Load(), c.downRate.Load()))
	s.meter = meter{now, down, up}
	s.delivery.look(now)
	s.acrossRate = 0
	for _, p := range s.conns {
		p.meterTick(d)
		if s.crosses(p) {
			s.acrossRate += p.rateDown
		}
	}
}
