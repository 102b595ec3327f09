package dht

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"
)

// callTime is how long a query may take. Who waits for it goes on without it much earlier.
const callTime = 3 * time.Second

// maxCalls bounds the queries that are out.
const maxCalls = 4096

// calls are our queries that wait for their answers. An answer must come from the address that was asked and bring the number that only it was told.
type calls struct {
	mu   sync.Mutex
	open map[callKey]call
}

type callKey struct {
	to  netip.AddrPort
	tid [4]byte
}

type call struct {
	contact
	at   time.Time
	done chan<- result // has room: who gave it out made it long enough
}

// result is what became of a query.
type result struct {
	contact          // with the ID that it answered with
	m       *message // nil: no answer
}

// begin numbers a query. It says no when too many are out.
func (c *calls) begin(to contact, done chan<- result, now time.Time) (tid []byte, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.open) >= maxCalls {
		return nil, false
	}
	if c.open == nil {
		c.open = make(map[callKey]call)
	}
	k := callKey{to: to.addr}
	for taken := true; taken; _, taken = c.open[k] {
		n := rand.Uint32()
		k.tid = [4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
	}
	c.open[k] = call{to, now, done}
	return k.tid[:], true
}

// end takes the query that an answer belongs to.
func (c *calls) end(from netip.AddrPort, tid []byte) (call, bool) {
	if len(tid) != 4 {
		return call{}, false
	}
	k := callKey{from, [4]byte(tid)}
	c.mu.Lock()
	defer c.mu.Unlock()
	x, ok := c.open[k]
	delete(c.open, k)
	return x, ok
}

// expire takes those that have waited too long.
func (c *calls) expire(now time.Time) (late []call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, x := range c.open {
		if now.Sub(x.at) >= callTime {
			delete(c.open, k)
			late = append(late, x)
		}
	}
	return late
}

func (x *call) finish(r result) {
	select {
	case x.done <- r:
	default: // nobody waits any more
	}
}
