package swarm

import (
	"net/netip"
	"slices"
	"sync"
)

// A peer may be known by a name and by its address: an origin by its URL, and by what its tracker says. When both are dialled at a time each end
// takes one of the two connections for the one too many, and if that is not the same one both are lost. So who finds that the address it has reached is
// one to which there is a connection already, or one in its handshake, hangs up before it says anything.

// reached are the addresses that dials have reached, each with the entry that was dialled, while the connection lasts.
type reached struct {
	mu sync.Mutex
	by map[netip.AddrPort]*entry
}

// twice is the error of a dial to where another is connected.
type twice struct {
	at netip.AddrPort
	by *entry
}

func (twice) Error() string { return errTwice.Error() }
func (twice) Unwrap() error { return errTwice }

// claim notes that e has reached a; otherwise it returns a twice.
func (r *reached) claim(a netip.AddrPort, e *entry) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if by := r.by[a]; by != nil {
		return twice{a, by}
	}
	if r.by == nil {
		r.by = make(map[netip.AddrPort]*entry)
	}
	r.by[a] = e
	return nil
}

// release ends what claim began.
func (r *reached) release(a netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.by, a)
}

// same takes note that e is the peer that another entry was met as: from now on there is one of them.
func (s *session) same(e *entry, t twice) {
	if e == t.by {
		return
	}
	if s.book.known[t.at] == e {
		s.book.known[t.at] = t.by
	}
	if e.pin == "" {
		return
	}
	s.t.peerError(e, nil)
	s.book.pinned[e.pin] = t.by
	if t.by.pin != "" {
		return
	}
	t.by.pin = e.pin
	if i := slices.IndexFunc(s.conns, func(c *conn) bool { return !c.inbound && c.addr == t.at }); i >= 0 {
		s.conns[i].pin = e.pin
	}
}
