package swarm

import (
	"shoal/internal/sock"
	"shoal/swarm/wire"
)

// awaits has the reader woken once a block is here, and not for each of some thirty packets: over
// slow links that is most of what wakes it. Over those that are so quick that the block is here when it is looked for,
// saying so would be a twentieth of the work; now and then it is tried whether this is one.
func (c *conn) awaits() func(n int) {
	now := 1 // byte wakes it
	quick, looked := true, false
	blocks := 0
	return func(n int) {
		switch {
		case n == 0:
			looked = false
			if blocks++; blocks%tryQuick == 0 {
				quick = true
			}
		case quick && !looked:
			looked = true
			return
		default:
			quick = false
		}
		if n < leastWake {
			n = 1
		}
		if n = min(n, mostWake); n != now {
			now = n
			sock.WakeBound(c.nc, n)
		}
	}
}

const (
	tryQuick  = 32 // blocks
	leastWake = 4 << 10
	mostWake  = wire.MaxBlock
)
