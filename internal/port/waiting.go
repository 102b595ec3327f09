package port

import (
	"container/list"
	"io"
	"net/netip"
	"sync"
)

// maxUndecided bounds the connections that have not said what they are; each costs a goroutine and a socket.
const maxUndecided = 1024

// waiting holds the connections that have not yet said what they are. When there are too many, a newcomer pushes out one of the address that has the most, the one that has
// waited longest: an honest client decides with its first segment, so that one is most likely there to block the others. So who opens connections without end
// pushes out its own, while a fleet behind one address may knock at the same moment.
type waiting struct {
	max int

	mu     sync.Mutex
	closed bool
	many   int
	begun  uint64                    // connections that entered, ever
	from   map[netip.Addr]*list.List // of *waiter, oldest first
}

type waiter struct {
	addr netip.Addr
	c    io.Closer
	n    uint64        // it was the n-th to enter
	el   *list.Element // nil: decided, pushed out, or closed
}

func newWaiting(most int) *waiting { return &waiting{max: most, from: map[netip.Addr]*list.List{}} }

// enter adds a connection and returns the one it pushes out, if any, for the caller to close. !ok: closed, nobody may enter.
func (w *waiting) enter(addr netip.Addr, c io.Closer) (me *waiter, out io.Closer, ok bool) {
	addr = source(addr)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, nil, false
	}
	if w.many >= w.max {
		out = w.drop(w.dispensable())
	}
	own := w.from[addr]
	if own == nil {
		own = list.New()
		w.from[addr] = own
	}
	w.begun++
	me = &waiter{addr: addr, c: c, n: w.begun}
	me.el = own.PushBack(me)
	w.many++
	return me, out, true
}

// dispensable is the one that is to go for another. Called with mu held, and somebody waiting.
func (w *waiting) dispensable() (x *waiter) {
	most := 0
	for _, own := range w.from {
		if first := own.Front().Value.(*waiter); own.Len() > most || own.Len() == most && first.n < x.n {
			x, most = first, own.Len()
		}
	}
	return x
}

// leave takes a connection out that has decided or ended. False: it was pushed out before.
func (w *waiting) leave(x *waiter) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.drop(x) != nil
}

// closeAll closes all that wait and lets nobody in any more.
func (w *waiting) closeAll() {
	w.mu.Lock()
	var all []io.Closer
	for _, own := range w.from {
		for own.Len() > 0 {
			all = append(all, w.drop(own.Front().Value.(*waiter)))
		}
	}
	w.closed = true
	w.mu.Unlock()
	for _, c := range all {
		c.Close()
	}
}

// drop is called with mu held.
func (w *waiting) drop(x *waiter) io.Closer {
	if x.el == nil {
		return nil
	}
	own := w.from[x.addr]
	own.Remove(x.el)
	x.el = nil
	w.many--
	if own.Len() == 0 {
		delete(w.from, x.addr)
	}
	return x.c
}

// source is what counts as one address: one host has a whole /64 of IPv6.
func source(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}
