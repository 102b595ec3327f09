package swarm

import (
	"slices"
	"time"
)

// virtualLane is a governor's goroutine, and the pace of a lane.
type virtualLane struct {
	conns   []*VirtualConn // those that write
	free    time.Time      // when the next byte may pass
	looks   bool
	waiting []*VirtualConn // writers that wait for that, in turn
	timed   bool           // a timer runs for the first of them
}

// await has a connection's writer wait for its turn: slice by slice, as [Pace] has them.
func (v *Virtual) await(l *virtualLane, vc *VirtualConn) {
	vc.waits = true
	l.waiting = append(l.waiting, vc)
	v.wake(l, l.free.Sub(v.now()))
}

// wake has the writers of a lane go on one after the other, from when the next byte may pass.
func (v *Virtual) wake(l *virtualLane, in time.Duration) {
	if l.timed || len(l.waiting) == 0 {
		return
	}
	l.timed = true
	v.fabric.After(v, in, func() {
		l.timed = false
		if wait := l.free.Sub(v.now()); wait > 0 {
			v.wake(l, wait)
			return
		}
		vc := l.waiting[0]
		l.waiting = slices.Delete(l.waiting, 0, 1)
		vc.waits, vc.turn = false, true
		v.fabric.Poke(vc)
		v.wake(l, 0)
	})
}

// paces says whether a connection's writer may write n bytes now, and counts them if so.
func (vc *VirtualConn) paces(l *virtualLane, n int64) bool {
	rate, now := vc.c.upRate(), vc.v.now()
	if rate == 0 {
		return true
	}
	if slack := vc.c.governor().pace.slack; l.free.Before(now.Add(-slack)) {
		l.free = now.Add(-slack)
	}
	if l.free.After(now) {
		return false
	}
	l.free = l.free.Add(time.Duration(float64(n) / float64(rate) * float64(time.Second)))
	return true
}

// writes takes note that a connection writes content.
func (vc *VirtualConn) writes() {
	i := vc.c.lane.Load()
	l := &vc.v.lanes[i]
	vc.flow.used = vc.v.now()
	if !vc.gauged {
		vc.gauged = true
		l.conns = append(l.conns, vc)
		vc.bound()
	}
	if !l.looks {
		l.looks = true
		vc.v.fabric.After(vc.v, gaugeTime, func() { vc.v.govern(i) })
	}
}

// bound sets how much may lie unsent.
func (vc *VirtualConn) bound() {
	n := notSent
	if vc.c.governor().pace.Rate() > 0 {
		n = notSentPaced
	}
	vc.v.fabric.Unsent(vc, n)
}

// govern is the governor's look at the sockets of a lane.
func (v *Virtual) govern(i lane) {
	l, g := &v.lanes[i], v.s.t.node.governors[i]
	var s sight
	keep := l.conns[:0]
	for _, vc := range l.conns {
		if vc.over || v.now().Sub(vc.flow.used) > restTime {
			vc.gauged, vc.flow.known = false, false
			continue
		}
		keep = append(keep, vc)
		vc.flow.steady = v.s.steady.Load()
		vc.flow.look(&s, (*virtualSocket)(vc).gauge())
	}
	clear(l.conns[len(keep):])
	l.conns = keep
	if g.set(v.now(), s) {
		for _, vc := range l.conns {
			vc.bound()
		}
	}
	if l.looks = len(l.conns) > 0; l.looks {
		v.fabric.After(v, gaugeTime, func() { v.govern(i) })
	}
}
