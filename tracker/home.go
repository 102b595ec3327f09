package tracker

import (
	"net"
	"net/netip"
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
	a.home4 = choose(&sw.home.v4, nil, endpoint[[4]byte]{}, &near, homePeers, a.home4)
	a.home6 = choose(&sw.home.v6, nil, endpoint[[16]byte]{}, &near, homePeers, a.home6)
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
			a.v4 = putFirst(a.v4, peer[[4]byte]{addr: here.As4(), port: port, id: id}, r.want-len(a.v6))
		} else {
			a.v6 = putFirst(a.v6, peer[[16]byte]{addr: here.As16(), port: port, id: id}, r.want-len(a.v4))
		}
	}
	for i := range a.home4 {
		add(a.home4[i].port, a.home4[i].id)
	}
	for i := range a.home6 {
		add(a.home6[i].port, a.home6[i].id)
	}
}

// putFirst puts p in front of peers, of which it leaves out one with the same address and, if there are room already, the last.
func putFirst[A address](peers []peer[A], p peer[A], room int) []peer[A] {
	for i := range peers {
		if peers[i].addr == p.addr && peers[i].port == p.port {
			return peers
		}
	}
	if len(peers) < room {
		peers = append(peers, p)
	}
	if len(peers) > 0 {
		copy(peers[1:], peers)
		peers[0] = p
	}
	return peers
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
