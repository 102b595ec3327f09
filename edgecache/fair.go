package edgecache

import (
	"context"
	"net/netip"
	"sync"

	"shoal/internal/webseed"
)

// fair has clients share a limit equally, however many connections each of them opens: of one client one response at a time waits in the limit's queue, which
// lets through in order.
type fair struct {
	mu    sync.Mutex
	turns map[netip.Addr]*turn
}

// turn is held by the response of a client whose turn it is.
type turn struct {
	hold  chan struct{} // has room for one
	users int
}

// fairLimit is a webseed.Limiter.
type fairLimit struct {
	webseed.Limiter
	f    *fair
	from netip.Addr
}

// client is what bounds the responses to a client, see webseed.ClientOf.
func (f *fair) client(from netip.Addr, l webseed.Limiter) webseed.Limiter {
	return fairLimit{l, f, from}
}

// WaitN implements webseed.Limiter.
func (l fairLimit) WaitN(ctx context.Context, n int) error {
	t := l.f.enter(l.from)
	defer l.f.leave(l.from, t)
	select {
	case t.hold <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-t.hold }()
	return l.Limiter.WaitN(ctx, n)
}

func (f *fair) enter(from netip.Addr) *turn {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.turns[from]
	if t == nil {
		if f.turns == nil {
			f.turns = map[netip.Addr]*turn{}
		}
		t = &turn{hold: make(chan struct{}, 1)}
		f.turns[from] = t
	}
	t.users++
	return t
}

func (f *fair) leave(from netip.Addr, t *turn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t.users--; t.users == 0 {
		delete(f.turns, from)
	}
}
