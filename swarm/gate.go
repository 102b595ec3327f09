package swarm

import (
	"slices"
	"time"
)

// A few machines of each site are its gates: what crosses the border is asked for by them, and they are told at once
// of what there is. All others are told now and then, and fetch when the gates do not. With news between any two
// machines of 4 sites of 6, news took 6 % of lines of 20 Mbit/s, and nearly half of lines of 2 Mbit/s. It makes
// nothing slower: a machine's own line brings it each piece once in any case, from outside or inside.

const (
	// gates is how many each place has. With one the site waits for it each time that it is slow.
	gates = 2
	// slowBorderTime is how often machines hear of each other over a border where one of them is no gate.
	slowBorderTime = 4 * time.Second
)

// findGates finds out which machines of each place are its gates: those with the highest claims, so that all who know
// the same machines find the same.
func (s *session) findGates() {
	claims := map[string][]uint64{"": {s.me}} // "" is our site
	for _, c := range s.conns {
		if c.theirShoal != 0 && !c.lost {
			at := s.placeOf(c)
			claims[at] = append(claims[at], c.claim)
		}
	}
	least := make(map[string]uint64, len(claims))
	for at, l := range claims {
		slices.Sort(l)
		least[at] = l[max(0, len(l)-gates)]
	}
	for _, c := range s.conns {
		c.gate = c.theirShoal != 0 && !c.lost && c.claim >= least[s.placeOf(c)]
	}
	s.gate = s.me >= least[""]
}

// placeOf is where c is, empty for our own site.
func (s *session) placeOf(c *conn) string {
	if c.class == LAN || c.home {
		return ""
	}
	return c.place()
}

// place is what a peer's site can be told by from outside: its name, or the network that its address is of. Both are
// hints: who is taken to be of a place where he is not hears of a piece a little later.
func (c *conn) place() string {
	if c.site != "" {
		return c.site
	}
	bits := 24
	if c.addr.Addr().Is6() {
		bits = 48
	}
	network, _ := c.addr.Addr().Prefix(bits)
	return network.String()
}

// turn is a machine's place in the order in which those of a site are to fetch a piece.
type turn struct {
	gate   bool
	weight uint64
}

func (c *conn) turn(p int) turn { return turn{c.gate, weight(c.claim, p)} }

func (a turn) before(b turn) bool {
	if a.gate != b.gate {
		return a.gate
	}
	return a.weight > b.weight
}

// newsTime is how far apart words over the border to c are, a Shoal peer.
func (s *session) newsTime(c *conn) time.Duration {
	if s.gate && c.gate {
		return borderTime
	}
	return slowBorderTime
}
