package swarm

import (
	"context"
	"testing"
	"time"
)

// Those who are referred to others come in turns: the first at once, then as many as half of the line carries.
func TestReferralsShareTheLine(t *testing.T) {
	tr := new(Transfer)
	begin := time.Unix(1e9, 0)
	var waits []func(time.Time) time.Duration
	for range 10_000 {
		waits = append(waits, tr.turn(begin))
	}
	told := func(after time.Duration) (n int) {
		for _, wait := range waits {
			if wait(begin.Add(after)) == 0 {
				n++
			}
		}
		return n
	}
	for _, c := range []struct {
		after time.Duration
		rate  int64
		want  int
	}{
		{0, 0, firstReferrals},
		{time.Second / 2, 0, firstReferrals + referralRate/referralBytes/2},
		{time.Second, 1 << 20, firstReferrals + referralRate/referralBytes},
		{2 * time.Second, 2 << 20, firstReferrals + 3*referralRate/referralBytes},
		{longReferral, 1, 10_000},
	} {
		tr.counts.lease.Store(c.rate)
		if n := told(c.after); n != c.want {
			t.Errorf("after %v, with a line of %d bytes/s: %d may be told, want %d", c.after, c.rate, n, c.want)
		}
	}
	if late := tr.turn(begin.Add(time.Minute)); late(begin.Add(time.Minute)) > time.Second {
		t.Error("who comes later waits for those who have long been told")
	}
}

// Nobody waits for long when there are few, and who has gone is not waited with.
func TestReferralTurn(t *testing.T) {
	tr := new(Transfer)
	for range firstReferrals + 5 {
		if !tr.Turn(t.Context()) {
			t.Fatal("it is nobody's turn")
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if tr.counts.lease.Store(1); tr.Turn(ctx) {
		t.Error("it is the turn of one who has gone")
	}
}
