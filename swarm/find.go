package swarm

import (
	"net/netip"

	"shoal/swarm/dht"
	"shoal/swarm/wire"
)

// Finder is what a node uses of the DHT. *dht.Node is one.
type Finder interface {
	// Find looks for peers of a torrent and names us to others, until stop is called.
	Find(dht.Job) (stop func())
	// Meet takes the address of a node that a peer has told of.
	Meet(netip.AddrPort)
	// Port is the UDP port that is told to peers; 0: none.
	Port() int
}

// Finds says whether the node finds peers without being told of any.
func (n *Node) Finds() bool { return n.cfg.Finder != nil && n.cfg.Upload != UploadOff }

// find has the transfer's peers looked for, unless it is private (BEP 27).
func (t *Transfer) find() {
	if !t.node.Finds() || t.spec.Private {
		return
	}
	stop := t.node.cfg.Finder.Find(dht.Job{Hashes: t.hashes, State: t.findState, Port: func() int { return int(t.node.port.Load()) }, Found: t.heard})
	t.mu.Lock()
	t.stopFinding = stop
	gone := t.gone
	t.mu.Unlock()
	if gone {
		stop()
	}
}

// private says whether only its trackers may tell of the torrent's peers (BEP 27).
func (t *Transfer) private() bool {
	x := t.Torrent()
	return t.spec.Private || x != nil && x.Private
}

// leaveFinder ends that.
func (t *Transfer) leaveFinder() {
	t.mu.Lock()
	stop := t.stopFinding
	t.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// findState is how much it matters that peers are found.
func (t *Transfer) findState() dht.State {
	st := t.announceState()
	return dht.State{Hungry: st.Hungry, Seed: st.Left == 0 || st.Paused}
}

// heard takes addresses of peers.
func (t *Transfer) heard(peers []netip.AddrPort) {
	if len(peers) == 0 {
		return
	}
	if s, err := t.session(); err == nil {
		s.do(func() {
			for _, a := range peers {
				s.heard(a, s.now())
			}
			s.dialSome()
		})
	}
}

// tellPort tells a peer that is in the DHT where our node is (BEP 5). The handshake said that it is.
func (s *session) tellPort(c *conn) {
	if !c.dht || !s.inDHT() {
		return
	}
	if port := s.t.node.cfg.Finder.Port(); port != 0 {
		c.out.put(func(b []byte) []byte { return wire.AppendPort(b, uint16(port)) })
	}
}

// tookPort takes the same from a peer.
func (s *session) tookPort(c *conn, port uint32) {
	if s.inDHT() && port != 0 {
		s.t.node.cfg.Finder.Meet(netip.AddrPortFrom(c.addr.Addr(), uint16(port)))
	}
}

func (s *session) inDHT() bool {
	return s.t.node.Finds() && !s.private()
}
