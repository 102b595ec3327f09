package sim

import (
	"time"

	"shoal/swarm"
)

// event is something that happens at a time. Events of the same time happen in the order they were made.
type event struct {
	at   int64 // ns since the begin
	seq  uint64
	kind kind
	hop  uint8
	n    int32
	flow *flow
	f    func()
	m    *swarm.VirtualMessage
}

type kind uint8

const (
	call     kind = iota // f is called
	arriveAt             // n bytes of flow arrive at a link
	deliver              // they arrive at the other end
	ack                  // their acknowledgement arrives at the sender
	express              // a message that was sent on its own arrives
)

// clock is a queue of events: a heap with four children to a node, which is shallow.
type clock struct {
	at   int64
	seq  uint64
	heap []event
}

// epoch is when simulations begin.
var epoch = time.Unix(1_000_000_000, 0)

func (c *clock) now() time.Time { return epoch.Add(time.Duration(c.at)) }

func (a *event) before(b *event) bool { return a.at < b.at || a.at == b.at && a.seq < b.seq }

func (c *clock) add(e event) {
	if e.at < c.at {
		e.at = c.at
	}
	c.seq++
	e.seq = c.seq
	h := append(c.heap, e)
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 4
		if !e.before(&h[up]) {
			break
		}
		h[i] = h[up]
		i = up
	}
	h[i] = e
	c.heap = h
}

// next takes the earliest event and moves the clock to it.
func (c *clock) next() (e event, ok bool) {
	h := c.heap
	if len(h) == 0 {
		return e, false
	}
	e = h[0]
	n := len(h) - 1
	last := h[n]
	h[n] = event{}
	h = h[:n]
	i := 0
	for {
		first := 4*i + 1
		if first >= n {
			break
		}
		least := first
		for k := first + 1; k < min(first+4, n); k++ {
			if h[k].before(&h[least]) {
				least = k
			}
		}
		if !h[least].before(&last) {
			break
		}
		h[i] = h[least]
		i = least
	}
	if n > 0 {
		h[i] = last
	}
	c.heap = h
	c.at = e.at
	return e, true
}
