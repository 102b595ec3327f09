package swarm

import (
	"cmp"
	"net/netip"
	"slices"
)

// Limits are those bounds of a node that can change while it runs. Rates are bytes of content per
// second, without the headers of any protocol.
type Limits struct {
	// Up and Down bound what goes to and comes from machines elsewhere. Zero: no limit.
	Up, Down int64
	// LAN bounds each direction to and from machines near by: those on a network that this machine is
	// attached to, and those of the same site. Zero: no limit. This machine itself is elsewhere.
	LAN int64
	// MinRate is what peers are to deliver together; below it web seeds help. Zero: they do not. Half of Down counts if that is less.
	MinRate int64
	// MaxPeers bounds the connections of one torrent. When it becomes less, those of least use end.
	MaxPeers int
}

// DefaultMinRate is MinRate where nobody says otherwise.
const DefaultMinRate = 64 << 10

// lane is one of the two ways that content takes, each with limits of its own.
type lane = uint32

const (
	away lane = iota // machines elsewhere
	near             // machines near by
	lanes
)

// paces are a node's limits in force.
type paces [lanes]Pace

func (p *paces) set(far, lan int64) {
	p[away].Set(far)
	p[near].Set(lan)
}

// SetLimits changes the limits, at once and for what is under way.
func (n *Node) SetLimits(l Limits) {
	n.limits.Store(&l)
	n.up.set(l.Up, l.LAN)
	n.down.set(l.Down, l.LAN)
}

// Limits are the limits in force.
func (n *Node) Limits() Limits { return *n.limits.Load() }

// shed ends connections that are too many because MaxPeers has become less. Only then: as long as we fetch, those that others open and
// those that we dial have places of their own, and may be more together (see admits).
func (s *session) shed() {
	most, was := s.t.node.Limits().MaxPeers, s.mostPeers
	s.mostPeers = most
	if most >= was || most <= 0 || len(s.conns) <= most {
		return
	}
	lacking := !s.complete()
	use := func(c *conn) int {
		switch {
		case lacking && c.outstanding > 0:
			return 3
		case lacking && c.seed:
			return 2
		case c.outstanding > 0 || c.inflight > 0 || len(c.queue) > 0:
			return 1
		}
		return 0
	}
	list := slices.Clone(s.conns)
	slices.SortStableFunc(list, func(a, b *conn) int { // who stays comes first; of the same use, who came first
		return cmp.Or(cmp.Compare(use(b), use(a)), a.joined.Compare(b.joined))
	})
	for _, c := range list[most:] {
		s.end(c, errFull)
	}
}

// UploadPace is what bounds uploads to a machine, for others that upload on the node's account.
func (n *Node) UploadPace(to netip.Addr) *Pace {
	if !to.Unmap().IsLoopback() && n.links.attached(to) {
		return &n.up[near]
	}
	return &n.up[away]
}

// DownloadPace is what bounds downloads from a machine, for others that download on the node's account.
func (n *Node) DownloadPace(from netip.Addr) *Pace {
	if !from.Unmap().IsLoopback() && n.links.attached(from) {
		return &n.down[near]
	}
	return &n.down[away]
}

// laneOf says which way a connection's content takes.
func (c *conn) laneOf() lane {
	if !c.addr.Addr().IsLoopback() && (c.near || c.class == LAN) {
		return near
	}
	return away
}

// inbound are the paces that content has to pass which comes in over a lane.
func (s *session) inbound(l lane) []*Pace {
	down := &s.t.node.down[l]
	if p := s.t.spec.Pace; p != nil {
		return []*Pace{p, down}
	}
	return []*Pace{down}
}

// rateIn is the least of their rates; 0: none.
func (s *session) rateIn(l lane) (least int64) {
	for _, p := range s.inbound(l) {
		if r := p.Rate(); r > 0 && (least == 0 || r < least) {
			least = r
		}
	}
	return least
}

func (c *conn) up() *Pace           { return &c.s.t.node.up[c.lane.Load()] }
func (c *conn) governor() *governor { return c.s.t.node.governors[c.lane.Load()] }

// upRate is what holds writes to c back, by the limit or for a queue that was seen; 0: nothing.
func (c *conn) upRate() int64 {
	limit, link := c.up().Rate(), c.governor().pace.Rate()
	if limit == 0 || link > 0 && link < limit {
		return link
	}
	return limit
}
