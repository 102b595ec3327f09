package swarm

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Pace lets bytes through at a rate that may change at any moment; the zero value lets everything
// through. It is safe for concurrent use; who waits is let through in order.
type Pace struct {
	rate  atomic.Int64  // bytes per second; 0: any number
	slack time.Duration // how far it may fall behind the clock and make up for it; 0: paceSlack

	mu      sync.Mutex
	at      time.Time
	due     float64       // bytes that the rate has let through until at, ever
	taken   float64       // bytes that were let through or wait, ever
	changed chan struct{} // closed when the rate changes
}

// paceSlack is for the timers of a busy machine, which are late. It is also what may pass at once
// after a rest.
const paceSlack = 50 * time.Millisecond

// Rate is the rate in bytes per second; 0 is none.
func (p *Pace) Rate() int64 { return p.rate.Load() }

// Set changes the rate, for those too who wait already.
func (p *Pace) Set(perSecond int64) {
	perSecond = max(perSecond, 0)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rate.Load() == perSecond {
		return
	}
	p.turn(time.Now())
	p.rate.Store(perSecond)
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// turn lets the time pass.
func (p *Pace) turn(now time.Time) {
	rate := float64(p.rate.Load())
	if !p.at.IsZero() {
		p.due += max(now.Sub(p.at).Seconds(), 0) * rate
	}
	p.at = now
	slack := rate * cmp.Or(p.slack, paceSlack).Seconds()
	if rate == 0 {
		p.due = p.taken // nobody owes anything
	}
	p.taken = max(p.taken, p.due-slack)
}

// WaitN waits until n bytes more may pass. An error is that of ctx.
func (p *Pace) WaitN(ctx context.Context, n int) error {
	if p.rate.Load() == 0 {
		return ctx.Err()
	}
	p.mu.Lock()
	p.turn(time.Now())
	mine := p.taken
	p.taken += float64(n)
	for {
		rate := p.rate.Load()
		left := mine - p.due
		if rate == 0 || left < 1 {
			p.mu.Unlock()
			return ctx.Err()
		}
		if p.changed == nil {
			p.changed = make(chan struct{})
		}
		changed := p.changed
		p.mu.Unlock()
		t := time.NewTimer(time.Duration(min(left/float64(rate), maxSleep.Seconds()) * float64(time.Second)))
		select {
		case <-t.C:
		case <-changed:
		case <-ctx.Done():
		}
		t.Stop()
		p.mu.Lock()
		p.turn(time.Now())
		if ctx.Err() != nil {
			p.taken -= float64(n) // those behind move up when they come again
			p.mu.Unlock()
			return ctx.Err()
		}
	}
}

// maxSleep keeps a wait at a tiny rate within what a duration can say.
const maxSleep = time.Hour

// slice is how many bytes to let through at once, of n: what takes 10 ms, so that no queue comes of
// it and nobody waits long behind another. Each slice costs a timer and a packet that is not full.
func (p *Pace) slice(n int64) int64 {
	if rate := p.rate.Load(); rate > 0 {
		return min(n, max(rate/100, leastSlice))
	}
	return n
}

// leastSlice is about what fits into a packet.
const leastSlice = 1400

// spend waits until p lets n bytes more through.
func spend(ctx context.Context, p *Pace, n int64) error {
	for n > 0 && p.Rate() > 0 {
		k := p.slice(n)
		if err := p.WaitN(ctx, int(k)); err != nil {
			return err
		}
		n -= k
	}
	return ctx.Err()
}
