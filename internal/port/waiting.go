package port

import (
	"container/list"
	"io"
	"net/netip"
	"sync"
)

const (
	maxUndecided        = 1024 // in all; each costs a goroutine and a socket
	maxUndecidedFromOne = 64   // from one address: a fleet behind one NAT may well knock at the same moment
)

// waiting holds the connections that have not yet said what they are, oldest first. A newcomer beyond a limit pushes out the one that has
// waited longest: an honest client decides with its first segment, so that one is most likely there to block the others.
type waiting struct {
	max, maxFromOne int

	mu     sync.Mutex
	closed bool
	list   list.List // of *waiter
	from   map[netip.Addr]int
}

type waiter struct {
	addr netip.Addr
	c    io.Closer
	el   *list.Element // nil: decided, pushed out, or closed
}

func newWaiting(maxAll, maxFromOne int) *waiting {
	return &waiting{max: maxAll, maxFromOne: maxFromOne, from: map[netip.Addr]int{}}
}

// enter adds a connection and returns the one it pushes out, if any, for the caller to close. !ok: closed, nobody may enter.
func (w *waiting) enter(addr netip.Addr, c io.Closer) (me *waiter, out io.Closer, ok bool) {
	addr = source(addr)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, nil, false
	}
	if w.from[addr] >= w.maxFromOne {
		for el := w.list.Front(); el != nil; el = el.Next() {
			if x := el.Value.(*waiter); x.addr == addr {
				out = w.drop(x)
				break
			}
		}
	} else if w.list.Len() >= w.max {
		out = w.drop(w.list.Front().Value.(*waiter))
	}
	me = &waiter{addr: addr, c: c}
	me.el = w.list.PushBack(me)
	w.from[addr]++
	return me, out, true
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
	for w.list.Len() > 0 {
		all = append(all, w.drop(w.list.Front().Value.(*waiter)))
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
	w.list.Remove(x.el)
	x.el = nil
	if w.from[x.addr]--; w.from[x.addr] == 0 {
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
