package swarm

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Pace lets bytes through at a rate that may change at any moment; the zero value lets everything
// through. It is safe for concurrent use; who waits is let through in order.
type Pace struct {
	rate atomic.Int64 // bytes per second; 0: any number

	mu      sync.Mutex
	paid    time.Time     // when what was let through will have taken its time
	changed chan struct{} // closed when the rate changes
}

// paceSlack is how far a pace may fall behind the clock and make up for it: a timer of a busy
// machine is late. It is also what may pass at once after a rest.
const paceSlack = 50 * time.Millisecond

// Rate is the rate in bytes per second; 0 is none.
func (p *Pace) Rate() int64 { return p.rate.Load() }

// Set changes the rate, for those too who wait already.
func (p *Pace) Set(perSecond int64) {
	perSecond = max(perSecond, 0)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rate.Swap(perSecond) == perSecond {
		return
	}
	p.paid = time.Time{}
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// WaitN waits until n bytes more may pass. An error is that of ctx.
func (p *Pace) WaitN(ctx context.Context, n int) error {
	for p.rate.Load() > 0 {
		wait, took, changed := p.reserve(int64(n), time.Now())
		if wait <= 0 {
			return ctx.Err()
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
			return nil
		case <-changed: // reserved at a rate that does not hold any more
			t.Stop()
		case <-ctx.Done():
			t.Stop()
			p.giveBack(took, changed)
			return ctx.Err()
		}
	}
	return ctx.Err()
}

// reserve takes the time that n bytes take from the schedule, and says how long to wait for it.
func (p *Pace) reserve(n int64, now time.Time) (wait, took time.Duration, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	rate := p.rate.Load()
	if rate == 0 {
		return 0, 0, nil
	}
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	if least := now.Add(-paceSlack); p.paid.Before(least) {
		p.paid = least
	}
	wait = p.paid.Sub(now)
	took = time.Duration(float64(n) / float64(rate) * float64(time.Second))
	p.paid = p.paid.Add(took)
	return wait, took, p.changed
}

// giveBack returns time that was reserved and is not needed.
func (p *Pace) giveBack(took time.Duration, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changed == changed {
		p.paid = p.paid.Add(-took)
	}
}

// slice is how many bytes to let through at once, of n: what takes 20 ms, so that a slow pace is
// smooth and nobody waits long behind another.
func (p *Pace) slice(n int64) int64 {
	if rate := p.rate.Load(); rate > 0 {
		return min(n, max(rate/50, 1400))
	}
	return n
}

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
