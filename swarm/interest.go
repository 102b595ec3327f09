package swarm

import (
	"time"

	"shoal/swarm/wire"
)

// boredTime is for how long a peer of our kind has had nothing for us when it is told so. While both fetch that changes with
// each piece, and each time was two words, of which one went alone: a packet, its acknowledgement, and both machines awake,
// which in a swarm of sites were three packets of ten that held no content. Others give their slots to who is interested.
const boredTime = 5 * time.Second

// interest tells a peer whether we want something of it, when that changes.
func (s *session) interest(c *conn) {
	want := c.introduced && c.useful > 0
	if want == c.interested {
		c.boredAt = time.Time{}
		return
	}
	if !want && c.shoal && !s.complete() {
		now := s.now()
		if c.boredAt.IsZero() {
			c.boredAt = now
		}
		if now.Sub(c.boredAt) < boredTime {
			return
		}
	}
	c.interested, c.boredAt = want, time.Time{}
	if want {
		c.out.plain(wire.Interested)
	} else {
		c.out.plain(wire.NotInterested)
	}
}
