package swarm

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// Those who are referred to others come in turns: the first at once, then as many as the line has room for beside the pieces.
func TestReferralsShareTheLine(t *testing.T) {
	tr := new(Transfer)
	begin := time.Unix(1e9, 0)
	var all []referral
	for range 10_000 {
		all = append(all, tr.refer(begin))
	}
	told := func(after time.Duration) (n int) {
		for _, x := range all {
			if x.wait(begin.Add(after)) == 0 {
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
		{longReferral - time.Second, 1, firstReferrals + 3*referralRate/referralBytes},
		{longReferral, 1, 10_000},
	} {
		tr.counts.line.Store(c.rate)
		if n := told(c.after); n != c.want {
			t.Errorf("after %v, with a line of %d bytes/s: %d may be told, want %d", c.after, c.rate, n, c.want)
		}
	}
	next := begin.Add(longReferral)
	if d := tr.refer(next).wait(next.Add(time.Millisecond)); d != referralLook { // 512 s, at a byte a second
		t.Errorf("the next is looked at again after %v, want %v", d, referralLook)
	}
	tr.counts.line.Store(1 << 20)
	if d := tr.refer(next).wait(next.Add(time.Second)); d != 0 {
		t.Errorf("who comes when all were told waits for %v", d)
	}
}

// Who leaves is not waited for, and beyond a bound nobody waits.
func TestNobodyWaitsForWhoHasLeft(t *testing.T) {
	tr := new(Transfer)
	tr.counts.line.Store(1)
	now := time.Unix(1e9, 0)
	for range firstReferrals {
		tr.refer(now)
	}
	for range 1000 {
		tr.refer(now).leave()
	}
	tr.counts.line.Store(referralBytes)
	if x := tr.refer(now); x.wait(now) == 0 || x.wait(now.Add(time.Second)) != 0 {
		t.Error("the next is not told after a second, when one that came before him would have been")
	}
	var last referral
	for range 2 * mostReferrals {
		last = tr.refer(now.Add(time.Second))
	}
	if waiting := last.place - tr.referrals.open; waiting > mostReferrals {
		t.Errorf("%v wait, want %d at most", waiting, mostReferrals)
	}
}

func TestTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		tr := &Transfer{ended: make(chan struct{})}
		for range firstReferrals {
			if !tr.Turn(t.Context()) {
				t.Fatal("it is nobody's turn")
			}
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("the first waited for %v", took)
		}
		tr.counts.line.Store(referralBytes)
		if !tr.Turn(t.Context()) || time.Since(begin).Round(10*time.Millisecond) != time.Second {
			t.Errorf("the next was told after %v, want a second", time.Since(begin))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if tr.Turn(ctx) {
			t.Error("it is the turn of one who has gone")
		}
		close(tr.ended)
		if tr.Turn(t.Context()) {
			t.Error("it is somebody's turn though there is nothing any more")
		}
	})
}
