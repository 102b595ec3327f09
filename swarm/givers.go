package swarm

// Of a piece that few have those get a copy first who are fast. A fast machine has passed it on to many by the time a slow
// one has sent it once; with whom it was by chance, the last pieces lay with machines whose queues were long, while fast
// ones, which did not have them, had nothing to do. What a peer gives us for the time that it has been asked tells how
// fast it is, whatever it says of itself. (What it gives in all does not: who is given less has less to give, is taken for
// slow, and is given less. In some rounds equal machines were told apart so, and took 1.12-1.16 x T_min instead of 1.09.)

const (
	// givingTime is how many seconds of being asked are remembered, about.
	givingTime = 8
	// leastAsked is how many of them there must be.
	leastAsked = 1
	// muchFaster and muchSlower than the mean is what sets a peer apart: equals are to stay equal.
	muchFaster, muchSlower = 2, 0.5
	// fewOf is the part of the peers that is few.
	fewOf = 4
)

// giving is what a peer has given of late, and for how long it was asked for something meanwhile.
type giving struct {
	bytes, seconds float64
	ticks          int // in which it was asked, since it was last looked at
}

// few says whether so many holders of a piece are few among so many peers.
func few(held int32, peers int) bool { return int(held) < peers/fewOf }

// compareGivers is called each second. Where neighbours are, peers are not compared: they are much faster than others, and
// what they give crosses no border.
func (s *session) compareGivers() {
	alike := s.complete() || len(s.lan) > 0
	var sum float64
	var compared []*conn
	for _, c := range s.conns {
		c.standing = 0
		if !alike && c.passesOn() && c.giving.known() {
			sum += c.giving.rate()
			compared = append(compared, c)
		}
	}
	for _, c := range compared {
		switch of := c.giving.rate() * float64(len(compared)); {
		case of > muchFaster*sum:
			c.standing = 1
		case of < muchSlower*sum:
			c.standing = -1
		}
	}
}

// gave counts what came since the last time.
func (g *giving) gave(bytes int64) {
	asked := float64(g.ticks) * tickTime.Seconds()
	g.ticks = 0
	keep := 1 - asked/(asked+givingTime)
	g.bytes = keep*g.bytes + float64(bytes)
	g.seconds = keep*g.seconds + asked
}

func (g *giving) known() bool { return g.seconds >= leastAsked }

func (g *giving) rate() float64 { return g.bytes / g.seconds }

// passesOn says whether c is of our kind and fetches as we do.
func (c *conn) passesOn() bool { return c.theirShoal != 0 && !c.seed }
