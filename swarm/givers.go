package swarm

// Of a piece that few have those get a copy first who give most. A fast machine has passed it on to many by the time a slow
// one has sent it once; with whom it was by chance, the last pieces lay with machines whose queues were long, while fast
// ones, which did not have them, had nothing to do. What a peer gives us tells how fast it is, whatever it says of itself.

const (
	// givingTime is over how many seconds what peers give is compared, about.
	givingTime = 3
	// muchMore and muchLess than the mean is what sets a peer apart: equals are to stay equal.
	muchMore, muchLess = 1.5, 0.5
	// fewOf is the part of the peers that is few.
	fewOf = 4
)

// few says whether so many holders of a piece are few among so many peers.
func few(held int32, peers int) bool { return int(held) < peers/fewOf }

// compareGivers is called each second. Where neighbours are, peers are not compared: they are much faster than others, and
// what they give crosses no border.
func (s *session) compareGivers() {
	var sum float64
	n := 0
	for _, c := range s.conns {
		c.giving += (c.rateDown - c.giving) / givingTime
		if c.passesOn() {
			sum += c.giving
			n++
		}
	}
	alike := s.complete() || len(s.lan) > 0
	for _, c := range s.conns {
		c.standing = 0
		if alike || !c.passesOn() {
			continue
		}
		switch of := c.giving * float64(n); {
		case of > muchMore*sum:
			c.standing = 1
		case of < muchLess*sum:
			c.standing = -1
		}
	}
}

// passesOn says whether c is of our kind and fetches as we do.
func (c *conn) passesOn() bool { return c.theirShoal != 0 && !c.seed }
