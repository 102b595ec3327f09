package swarm

import (
	"net/netip"
	"slices"
	"time"

	"shoal/swarm/lan"
)

// Neighbours are found by what they announce on the networks that we are attached to (package
// lan). They are dialled like others, and where no --site is given they are the site. Private
// torrents are neither announced nor looked for (BEP 27).

// discover sets up discovery on the LAN, if it is wanted.
func (n *Node) discover() {
	if n.cfg.LAN == nil || n.cfg.Upload == UploadOff {
		return
	}
	c := *n.cfg.LAN
	c.Port, c.Log, c.Found = n.cfg.Port, n.cfg.Log, n.foundNeighbour
	n.lan = lan.New(c)
}

// announceLAN tells neighbours of a transfer, by all names of it that are known.
func (t *Transfer) announceLAN() {
	d := t.node.lan
	if d == nil || t.spec.Private {
		return
	}
	d.Add(t.hashes()...)
	select {
	case <-t.ended: // Close may have been before us
		d.Remove(t.hashes()...)
	default:
	}
}

// leaveLAN undoes announceLAN.
func (t *Transfer) leaveLAN() {
	if d := t.node.lan; d != nil {
		d.Remove(t.hashes()...)
	}
}

// foundNeighbour takes an announcement of a neighbour. A seed that is asleep is not woken: the
// neighbour has been told of it and can come.
func (n *Node) foundNeighbour(infoHash [20]byte, a netip.AddrPort, told bool) {
	t := n.find(infoHash)
	if t == nil {
		return
	}
	t.mu.Lock()
	s := t.sess
	t.mu.Unlock()
	if s != nil {
		s.do(func() { s.neighbour(a, told, s.now()) })
	}
}

// neighbour dials a neighbour, or takes note that a peer is one. One that has just come is given time
// to dial us, so that not both do; one that has answered us waits for us.
func (s *session) neighbour(a netip.AddrPort, told bool, now time.Time) {
	if s.private() {
		return
	}
	known := s.book.known[a] != nil
	if s.heard(a, now) && !known && !told {
		s.book.known[a].next = now.Add(neighbourWait + time.Duration(s.rnd.Int64N(int64(neighbourWait))))
	}
	for _, c := range s.conns {
		if x, ok := c.where(); ok && x == a {
			s.reclassify(c)
		}
	}
	s.dialSome()
}

// neighbourWait is the least time that a newcomer has to dial us.
const neighbourWait = 500 * time.Millisecond

// where is the address that a connected peer listens at, as far as we know.
func (c *conn) where() (a netip.AddrPort, ok bool) {
	if !c.inbound {
		return c.addr, true
	}
	return netip.AddrPortFrom(c.addr.Addr(), c.listen), c.listen != 0
}

// onLAN says whether a peer is a neighbour that has announced this torrent.
func (c *conn) onLAN(s *session) bool {
	a, ok := c.where()
	return ok && c.near && !s.private() && s.world.announced(s.t, a)
}

func (realWorld) announced(t *Transfer, a netip.AddrPort) bool {
	d := t.node.lan
	return d != nil && slices.ContainsFunc(t.hashes(), func(h [20]byte) bool { return d.Heard(h, a) })
}

// portFor is the port that a peer can dial us at: the router's number is for those beyond it.
func (s *session) portFor(c *conn) int {
	if c.near {
		return s.t.node.cfg.Port
	}
	return int(s.t.node.port.Load())
}
