package swarm

import (
	"slices"
	"time"

	"shoal/piece"
)

// A torrent's description, its info dict and piece layers, is some 52 bytes for each piece. Given by the origin to each of
// a thousand machines it would be almost as much as the content. So it spreads as pieces do: an origin gives it to the
// first machines that ask over HTTP, and refers all others to these ([Transfer.Refers]); and who has it gives it to a few
// Shoal peers at a time, since in a moment the others have these to ask. Who was given it says so in another extended
// handshake.
const (
	firstDescribed  = 3                      // so many are given it in referTime before others are referred to them
	referTime       = 2 * time.Second        // by then they are connected, and speak for themselves
	enoughDescribe  = 2                      // so many connected peers that have it, and others are left to them
	describedAtOnce = 4                      // Shoal peers that are given it at a time
	describeTime    = time.Second            // for which they count, and for as long as it takes at describeRate
	describeRate    = 1 << 20                // bytes per second
	leftToOthers    = 500 * time.Millisecond // how long an origin leaves those to others who have just come
	refusedFirst    = 50 * time.Millisecond  // who says no is not asked again for so long, later for four times that
	refusedOften    = 8                      // and beyond so many times for longer and longer
	smallDescribed  = 4 << 10                // bytes of a description that is as fast given as a referral
)

// Refers says whether somebody who asks for the torrent's description x over HTTP, and can ask peers for it, is left to do
// so; if not it is given to him, which counts.
func (t *Transfer) Refers(x *piece.Torrent, now time.Time) bool {
	n := len(x.Bytes)
	if x.HasV2 {
		n += 32 * x.NumPieces()
	}
	if n < smallDescribed || x.Private || !x.HasV1 { // a piece that lies there already is known by its SHA-1 before the layers are here
		return false
	}
	if t.counts.describers.Load() >= enoughDescribe {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.described = slices.DeleteFunc(t.described, func(at time.Time) bool { return now.Sub(at) > referTime })
	if len(t.described) >= firstDescribed {
		return true
	}
	t.described = append(t.described, now)
	return false
}

// describes says whether we have what a peer has to know of the torrent: the info dict, and the piece layers unless
// nobody has told them.
func (s *session) describes() bool {
	return s.torrent != nil && (s.torrent.HasLayers() || s.pick != nil && !s.layers.coming || s.complete())
}

// tellDescribed tells all that we have the description, once we do.
func (s *session) tellDescribed() {
	if s.described || !s.describes() {
		return
	}
	s.described = true
	for _, c := range s.conns {
		s.greet(c)
	}
}

// hasDescription says whether c has said that it has the description.
func (c *conn) hasDescription() bool { return c.metadataSize > 0 && c.theirMetadata != 0 }

// countDescribers counts the peers that have the description, as far as one can tell.
func (s *session) countDescribers() {
	n := 0
	for _, c := range s.conns {
		if c.hasDescription() && (s.torrent == nil || c.metadataSize == len(s.torrent.Bytes)) {
			n++
		}
	}
	s.t.counts.describers.Store(int64(n))
}

// mayDescribe says whether c is given the description now.
func (s *session) mayDescribe(c *conn, now time.Time) bool {
	if !c.shoal {
		return true // others do not come again at once
	}
	takes := describeTime + time.Duration(len(s.torrent.Bytes))*time.Second/describeRate
	for o, since := range s.describing {
		late := now.Sub(since) > takes
		if o.gone || o.hasDescription() || late {
			o.overstayed = late
			delete(s.describing, o)
		}
	}
	if _, ok := s.describing[c]; ok || c.overstayed { // who had its time is in nobody's way
		return true
	}
	if len(s.describing) >= describedAtOnce || s.reveal != nil && now.Sub(c.joined) < leftToOthers && s.t.counts.describers.Load() >= enoughDescribe {
		return false
	}
	s.describing[c] = now
	return true
}

// describers are the peers that can be asked for the info dict, those first whose giving costs the swarm least: neighbours,
// then others, and origins when there is nobody else.
func (s *session) describers(now time.Time) (list []*conn) {
	for c := range s.around() {
		if c.hasDescription() && s.metas[c] == nil && !now.Before(c.metadataAfter) {
			list = append(list, c)
		}
	}
	cost := func(c *conn) int {
		switch {
		case c.near || c.home:
			return 0
		case c.role != RoleOrigin:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(list, func(a, b *conn) int { return cost(a) - cost(b) })
	return list
}

// metadataRejected has another asked than c. A Shoal peer has others to give to first; who is none, or says so again and
// again, has it not.
func (s *session) metadataRejected(c *conn) error {
	c.metadataOwed = max(0, c.metadataOwed-1)
	if s.metas[c] == nil {
		return nil
	}
	delete(s.metas, c)
	wait := metaTime
	if c.shoal {
		n := c.metadataRefused
		wait = min(wait, refusedFirst<<min(n, 2)<<min(max(0, n-refusedOften), 10))
		c.metadataRefused++
	}
	now := s.now()
	c.metadataAfter = now.Add(wait)
	s.tickMetadata(now)
	return nil
}
