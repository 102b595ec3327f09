package swarm

import (
	"context"
	"sync"
	"time"
)

// A referral is some 500 bytes on the wire. To ten thousand machines that ask at the same moment these fill a line of 20
// Mbit/s for two seconds, in which nobody has anything to pass on. So beyond the first they share the line with the
// pieces, half and half, and who is told early has work for his own line when the last is told.
const (
	referralBytes  = 512             // with the headers of TCP, and its handshake
	firstReferrals = 100             // are given at once
	referralRate   = 1 << 20         // bytes per second of them where our line is not known yet
	longReferral   = 5 * time.Second // nobody waits for longer
	referralLook   = 200 * time.Millisecond
)

// referrals are those who wait to be referred to others.
type referrals struct {
	mu    sync.Mutex
	taken float64 // turns
	open  float64 // of them, those that have come, and what more could by now
	at    time.Time
}

// Turn waits until somebody who is to be referred to others may be told so. It is false if ctx has ended before.
func (t *Transfer) Turn(ctx context.Context) bool {
	wait := t.turn(time.Now())
	for {
		d := wait(time.Now())
		if d <= 0 {
			return ctx.Err() == nil
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(d):
		}
	}
}

// turn takes a turn. The function it returns says how long to wait before it is asked again; 0: it is our turn.
func (t *Transfer) turn(since time.Time) (wait func(now time.Time) time.Duration) {
	r := &t.referrals
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at.IsZero() {
		r.open, r.at = firstReferrals, since
	}
	mine := r.taken
	r.taken++
	return func(now time.Time) time.Duration {
		r.mu.Lock()
		defer r.mu.Unlock()
		rate := float64(referralRate)
		if n := t.counts.lease.Load(); n > 0 {
			rate = float64(n)
		}
		if d := now.Sub(r.at); d > 0 {
			r.open, r.at = min(r.open+d.Seconds()*rate/referralBytes, r.taken+firstReferrals), now
		}
		if mine < r.open || now.Sub(since) >= longReferral {
			return 0
		}
		ahead := time.Duration((mine + 1 - r.open) * referralBytes / rate * float64(time.Second))
		return min(max(ahead, time.Millisecond), referralLook)
	}
}
