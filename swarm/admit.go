package swarm

import (
	"context"
	"errors"
	"net/netip"
	"syscall"
	"time"
)

var errNotAdmitted = errors.New("address is not to be spoken with")

// admits says whether we speak with an address.
func (n *Node) admits(a netip.Addr) bool { return n.cfg.Admit == nil || n.cfg.Admit(a.Unmap()) }

// mayDial is a Dialer's last question, when a name has become an address: it holds for every
// connection that we open to a peer.
func (n *Node) mayDial(_ context.Context, _, address string, _ syscall.RawConn) error {
	if a, err := netip.ParseAddrPort(address); err == nil && !n.admits(a.Addr()) {
		return errNotAdmitted
	}
	return nil
}

// heard takes an address that somebody told of, if it may be spoken with; it says whether it is known then.
func (s *session) heard(a netip.AddrPort, now time.Time) bool {
	a = unmapped(a)
	if !s.t.node.admits(a.Addr()) {
		return false
	}
	s.book.heard(a, now)
	return s.book.known[a] != nil
}

// expel ends connections with those who are not admitted any more.
func (s *session) expel() {
	if s.t.node.cfg.Admit == nil {
		return
	}
	for _, c := range s.conns {
		if !s.t.node.admits(c.addr.Addr()) {
			s.end(c, errNotAdmitted)
		}
	}
}
