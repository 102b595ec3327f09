package swarm

import (
	"context"
	"sync"
	"time"
)

// A referral is some 500 bytes on the wire. To ten thousand machines that ask at the same moment these fill a line of 20
// Mbit/s for two seconds, in which nobody has anything to pass on. So beyond the first there are no more of them in a second than
// the line is seen to carry of pieces meanwhile, and who is told early has work for his own line when the last is told.
const (
	referralBytes  = 512             // with the headers of TCP, and its handshake
	firstReferrals = 100             // are given at once
	referralRate   = 1 << 20         // bytes per second of them where our line is not known yet
	longReferral   = 5 * time.Second // nobody waits for longer
	referralLook   = 200 * time.Millisecond
	mostReferrals  = 20_000 // wait at most: for each that comes then the first of them is told
)

// referrals are those who wait to be referred to others.
type referrals struct {
	mu    sync.Mutex
	taken float64 // places
	open  float64 // of them, those that have come, and what more could by now
	at    time.Time
}

// Turn waits until somebody who is to be referred to others may be told so. It is false if ctx or the transfer has ended before.
func (t *Transfer) Turn(ctx context.Context) bool {
	x := t.refer(time.Now())
	for {
		d := x.wait(time.Now())
		if d <= 0 {
			return ctx.Err() == nil
		}
		select {
		case <-ctx.Done():
		case <-t.ended:
		case <-time.After(d):
			continue
		}
		x.leave()
		return false
	}
}

// referral is the place of one who waits.
type referral struct {
	t     *Transfer
	place float64
	since time.Time
}

// refer takes a place.
func (t *Transfer) refer(now time.Time) referral {
	r := &t.referrals
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at.IsZero() {
		r.open, r.at = firstReferrals, now
	}
	r.taken++
	if r.taken-r.open > mostReferrals {
		r.open++
	}
	return referral{t, r.taken - 1, now}
}

// wait says how long to wait before it is asked again; 0: it is his turn.
func (x referral) wait(now time.Time) time.Duration {
	r := &x.t.referrals
	r.mu.Lock()
	defer r.mu.Unlock()
	rate := float64(referralRate)
	if n := x.t.counts.line.Load(); n > 0 {
		rate = float64(n)
	}
	if d := now.Sub(r.at); d > 0 {
		r.open, r.at = min(r.open+d.Seconds()*rate/referralBytes, r.taken+firstReferrals), now
	}
	if now.Sub(x.since) >= longReferral {
		r.open = max(r.open, x.place+1) // nobody waits for those before him
	}
	if x.place+1 <= r.open {
		return 0
	}
	ahead := time.Duration((x.place + 1 - r.open) * referralBytes / rate * float64(time.Second))
	return min(max(ahead, time.Millisecond), referralLook)
}

// leave gives the place to those who wait.
func (x referral) leave() {
	r := &x.t.referrals
	r.mu.Lock()
	defer r.mu.Unlock()
	if x.place+1 > r.open {
		r.open++
	}
}
