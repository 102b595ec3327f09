package swarm

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"time"

	"shoal/swarm/wire"
)

// Inside a site a piece crosses the border once: what a neighbour has, or says that it is
// fetching, is not asked outside. Otherwise only the piece's owner asks: the machine of the site
// that comes first in rendezvous order (HRW, Thaler & Ravishankar 1998), the site's gates (gate.go) before
// all others; the next one follows when nothing has happened for a while.

const (
	// ownerTime is how long each further machine in a piece's order waits.
	ownerTime = time.Second
	// fetchingTime is how long a neighbour's word that it fetches a piece holds; it is given anew
	// every tellTime.
	fetchingTime = 5 * time.Second
	tellTime     = 2 * time.Second
	// helpTime is how long a neighbour may leave us waiting before what it has is asked elsewhere.
	helpTime = 4 * time.Second
	// borderDelay is for how long at most what is asked over the border may take at the rate at which it comes: more
	// only lies in queues, where it can be neither given to another source nor left to a neighbour. leastAcross is asked
	// at any rate.
	borderDelay = 400 * time.Millisecond
	leastAcross = 64 << 10
	firstAcross = 128 << 10 // while it is not known
)

// siteAllows says whether c may be asked for piece p by the site's rule.
func (s *session) siteAllows(c *conn, p int) bool {
	if !s.crosses(c) || c.leased[p] {
		return true
	}
	now := s.now()
	rank, mine := 0, turn{s.gate, weight(s.me, p)}
	// Several may have begun with a piece, of a lease or because the first one took long: the first of them in its
	// order goes on. If each left it to the others nobody would, for as long as their words hold.
	ours := s.fetches(p, now)
	for _, o := range s.lan {
		if o.have.has(p) {
			if o.gives(now) {
				return false
			}
			continue
		}
		if at, ok := o.fetching[p]; ok && now.Sub(at) < fetchingTime && (!ours || o.turn(p).before(mine)) {
			return false
		}
		if !o.seed && o.theirShoal != 0 && o.turn(p).before(mine) { // others do not know the rule
			rank++
		}
	}
	return rank == 0 || ours || s.siteWait.since(p, s.have.n, now) >= time.Duration(rank)*ownerTime
}

// fetches says whether our word holds that we fetch piece p for the site.
func (s *session) fetches(p int, now time.Time) bool {
	op := s.open[p]
	return op != nil && !op.told.IsZero() && now.Sub(op.told) < fetchingTime
}

// leases says whether what c shows of its own is a lease: ours to fetch, whatever the site says.
func (c *conn) leases() bool { return c.role == RoleOrigin && !c.leasesOver }

// crosses says whether what c sends comes over the border of our site. An origin or an edge of the site is not
// beyond it.
func (s *session) crosses(c *conn) bool {
	return len(s.neighbours()) > 0 && c.class != LAN && !c.home
}

// neighbours are those of our site, made anew if they may have changed.
func (s *session) neighbours() []*conn {
	if s.lanStale {
		s.findNeighbours()
	}
	return s.lan
}

// mayCross says whether c may be asked for more as far as the border is concerned. What an origin leases is asked for at
// once.
func (s *session) mayCross(c *conn) bool {
	if !s.crosses(c) || c.leases() && !c.seed {
		return true
	}
	if s.acrossRate == 0 {
		return s.across < firstAcross
	}
	return s.across < max(int64(s.acrossRate*borderDelay.Seconds()), leastAcross)
}

// stays has what c was asked for not count as being on its way over the border: c is silent, and others are to be asked for
// it.
func (s *session) stays(c *conn) {
	for _, q := range c.order {
		if q.across && !q.done {
			q.across = false
			s.across -= q.length
		}
	}
}

// findNeighbours lists the connections to machines of our site, its edges among them: what such a one has is not asked outside. One
// that may be gone is none: what it alone has of the site would not be asked for until its connection ends.
func (s *session) findNeighbours() {
	s.lanStale = false
	s.lan = s.lan[:0]
	for _, c := range s.conns {
		if (c.class == LAN || c.home && c.role == RoleEdge) && c.introduced && !c.lost {
			s.lan = append(s.lan, c)
		}
	}
	if len(s.lan) > 0 {
		s.me = claim(s.t.node.cfg.PeerID)
		s.findGates()
	}
}

// gives says whether a neighbour can be relied on for what it has.
func (c *conn) gives(now time.Time) bool {
	return !c.choked && (c.asked == 0 || now.Sub(c.heard()) < helpTime)
}

// waits says for how long pieces have been left to others of the site. Its zero value is empty.
type waits struct {
	start time.Time
	at    []uint32 // per piece: milliseconds from start, plus one; 0: not left to others
}

// since is for how long piece p, of n, has been left to others; from now on if it was not.
func (w *waits) since(p, n int, now time.Time) time.Duration {
	if w.at == nil {
		w.start, w.at = now, make([]uint32, n)
	}
	ms := uint32(now.Sub(w.start) / time.Millisecond)
	if w.at[p] == 0 {
		w.at[p] = ms + 1
	}
	return time.Duration(ms-(w.at[p]-1)) * time.Millisecond
}

// forget has piece p not be waited for any more.
func (w *waits) forget(p int) {
	if w.at != nil {
		w.at[p] = 0
	}
}

// claim is a machine's part of its weights.
func claim(id [20]byte) uint64 {
	h := sha256.Sum256(id[:])
	return binary.BigEndian.Uint64(h[:])
}

// weight is a machine's claim to a piece: both mixed well (the finalizer of SplitMix64), so that
// each machine owns its share of the pieces and no two orders are alike.
func weight(claim uint64, p int) uint64 {
	x := claim + uint64(p)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// tellFetching tells the site that we fetch a piece from outside of it.
func (s *session) tellFetching(from *conn, op *openPiece) {
	if !s.crosses(from) {
		return
	}
	op.told = s.now()
	for _, o := range s.lan {
		if o.theirShoal != 0 && !o.have.has(op.index) {
			o.out.put(func(b []byte) []byte { return wire.AppendFetching(b, o.theirShoal, uint32(op.index)) })
		}
	}
}

// retellFetching says so again while a piece is on its way: a word that is not kept up is forgotten.
func (s *session) retellFetching(now time.Time) {
	if len(s.lan) == 0 {
		return
	}
	for _, p := range slices.Sorted(maps.Keys(s.open)) {
		if op := s.open[p]; !op.told.IsZero() && now.Sub(op.told) > tellTime && len(op.asks) > 0 {
			s.tellFetching(op.asks[0].of, op)
		}
	}
}

// shoalMessage takes a message of our own extension: a note, or that a neighbour fetches a piece for the site.
func (s *session) shoalMessage(c *conn, b []byte) error {
	if note, ok := wire.ParseNote(b); ok {
		s.tookNote(c, note)
		return nil
	}
	if proof, ok := wire.ParseProof(b); ok {
		return s.tookProof(c, proof)
	}
	if l, ok := wire.ParseLoad(b); ok {
		if s.crosses(c) {
			c.load = load{float64(l.Queued), float64(l.Rate), s.now()}
		} else if l.Queued == 0 {
			s.offered(c, s.now())
		}
		return nil
	}
	if wire.IsOpen(b) {
		c.leasesOver = true
		return nil
	}
	p, ok, err := wire.ParseShoal(b)
	if err != nil || !ok || !c.introduced {
		return err
	}
	if int64(p) >= int64(c.have.n) {
		return errors.New("fetching a piece that does not exist")
	}
	if c.class == LAN {
		c.fetching[int(p)] = s.now()
	}
	return nil
}
