package edgecache

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// turnstile lets through one by one, in the order in which they have come, as often as a test says.
type turnstile struct {
	waiting atomic.Int64
	through chan struct{}
}

func (l *turnstile) Rate() int64 { return 1 }

func (l *turnstile) WaitN(ctx context.Context, _ int) error {
	l.waiting.Add(1)
	select { // those that wait at a channel are served in their order
	case <-l.through:
		return nil
	case <-ctx.Done():
		l.waiting.Add(-1)
		return ctx.Err()
	}
}

// let lets one through, once n wait.
func (l *turnstile) let(n int64) {
	for l.waiting.Load() < n {
		time.Sleep(10 * time.Microsecond)
	}
	l.waiting.Add(-1)
	l.through <- struct{}{}
}

// A client with eight connections gets no more of a limit than one with a single connection, and what ends while it waits blocks nobody.
func TestClientsShareALimitEqually(t *testing.T) {
	var f fair
	limit := &turnstile{through: make(chan struct{})}
	greedy, modest := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	ctx, stop := context.WithCancel(t.Context())
	got := map[netip.Addr]*atomic.Int64{greedy: new(atomic.Int64), modest: new(atomic.Int64)}
	var all sync.WaitGroup
	respond := func(ctx context.Context, from netip.Addr) {
		all.Go(func() {
			for f.client(from, limit).WaitN(ctx, 1) == nil {
				got[from].Add(1)
			}
		})
	}
	for range 8 {
		respond(ctx, greedy)
	}
	gone, leave := context.WithCancel(ctx)
	respond(gone, greedy)
	respond(ctx, modest)
	leave()
	for range 200 {
		limit.let(2) // one of each
	}
	stop()
	all.Wait()
	if a, b := got[greedy].Load(), got[modest].Load(); b < 80 || a < 80 {
		t.Errorf("of 200 turns the client with eight connections had %d, the one with one %d: want half each", a, b)
	}
	if len(f.turns) > 0 {
		t.Errorf("%d clients are remembered that are gone", len(f.turns))
	}
}
