package tracker

import (
	"net"
	"net/netip"
	"slices"
)

// An origin announces to the tracker beside it over loopback, for it cannot know which of its addresses others use. Its peers are at home:
// on this machine, wherever that is for the one who asks. A peer on another machine is told of them at the address at which it reached
// the tracker, and never of a loopback address, where it would find itself.

// homePeers is how many peers at home another machine is told of. They come on top of the choice, first: usually they are the origin.
const homePeers = 8

// answerHome chooses the peers at home for an asker that is elsewhere.
func (sw *swarm) answerHome(who *asker, a *answer) {
	near := *who
	near.local = true
	near.ids = true
	choose(&sw.home.v4, nil, endpoint[[4]byte]{}, &near, homePeers, &a.home4)
	choose(&sw.home.v6, nil, endpoint[[16]byte]{}, &near, homePeers, &a.home6)
}

// addHome puts the peers at home in front of the others, with the address at which the asker reaches them.
func (s *Server) addHome(r *request, a *answer) {
	var here netip.Addr
	if s.config.Here != nil {
		here = source(s.config.Here(r.from))
	}
	if !here.IsValid() {
		here = r.here
	}
	if !here.IsValid() || !r.families && here.Is4() != r.from.Is4() {
		here = routeTo(r.from)
	}
	if !here.IsValid() || here.IsUnspecified() || here.IsLoopback() {
		return
	}
	add := func(port uint16, id [20]byte) {
		if here.Is4() {
			a.v4.putFirst(spot[[4]byte]{addr: here.As4(), port: port}, id, r.ids, r.want-len(a.v6.peers))
		} else {
			a.v6.putFirst(spot[[16]byte]{addr: here.As16(), port: port}, id, r.ids, r.want-len(a.v4.peers))
		}
	}
	for i := range a.home4.peers {
		add(a.home4.peers[i].port, a.home4.ids[i])
	}
	for i := range a.home6.peers {
		add(a.home6.peers[i].port, a.home6.ids[i])
	}
}

// putFirst puts p in front of the others, of which it leaves out the last if there are room already. It does nothing if there is one with the
// same address.
func (c *choice[A]) putFirst(p spot[A], id [20]byte, withID bool, room int) {
	for i := range c.peers {
		if c.peers[i].addr == p.addr && c.peers[i].port == p.port {
			return
		}
	}
	if len(c.peers) >= room {
		c.peers = c.peers[:max(len(c.peers)-1, 0)]
		c.ids = c.ids[:max(len(c.ids)-1, 0)]
	}
	if len(c.peers) < room {
		c.peers = slices.Insert(c.peers, 0, p)
		if withID {
			c.ids = slices.Insert(c.ids, 0, id)
		}
	}
}

// routeTo is the address from which this machine would send to a peer. Nothing is sent: connecting a UDP socket only asks the routing table.
func routeTo(to netip.Addr) netip.Addr {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 9)))
	if err != nil {
		return netip.Addr{}
	}
	defer c.Close()
	return source(c.LocalAddr().(*net.UDPAddr).AddrPort().Addr())
}
