package dht

import (
	"context"
	"slices"
	"time"

	"golang.org/x/time/rate"
)

const (
	// alpha is how many nodes a walk asks at a time.
	alpha = 5
	// slowTime is when a walk stops waiting for a node and asks another as well.
	slowTime = 400 * time.Millisecond
	// maxAsked bounds the nodes that one walk asks, whatever they answer.
	maxAsked = 120
	// maxCandidates bounds those that it remembers.
	maxCandidates = 200
)

// walker goes to the nodes closest to a target, asking each for closer ones. It belongs to the goroutine that calls run.
type walker struct {
	n      *Node
	f      family
	target ID
	query  message
	limit  *rate.Limiter // beside our own for all queries; nil: none
	// heard is called with each answer.
	heard func(result)

	list  []*candidate // closest first; those without an ID before all
	asked int
	out   int // asked, and neither answered nor slow
}

type candidate struct {
	contact
	state stage
	at    time.Time // when it was asked
	m     *message  // its answer
}

type stage int

const (
	fresh stage = iota
	asked
	slow // asked long ago
	told // has answered
	dead
)

// walk asks its way to target, and returns who answered closest to it.
func (n *Node) walk(ctx context.Context, f family, target ID, query message, heard func(result)) []result {
	w := walker{n: n, f: f, target: target, query: query, heard: heard}
	return w.walk(ctx)
}

func (w *walker) walk(ctx context.Context) []result {
	now := time.Now()
	begin := w.n.nets[w.f].nearest(w.target, 2*closest, now, false)
	if len(begin) < closest {
		begin = append(begin, w.n.known(w.f)...)
	}
	w.add(begin)
	w.run(ctx)
	return w.best()
}

// add takes nodes to ask. Of a public network, and of an address, one is enough: whoever has many could otherwise surround the target.
func (w *walker) add(list []contact) {
	for _, c := range list {
		if c.id == w.n.nets[w.f].id() || familyOf(c.addr.Addr()) != w.f {
			continue
		}
		public := Routable(c.addr.Addr())
		if slices.ContainsFunc(w.list, func(o *candidate) bool {
			return o.addr == c.addr || c.id != (ID{}) && o.id == c.id || public && o.addr.Addr() == c.addr.Addr()
		}) {
			continue
		}
		w.insert(&candidate{contact: c})
	}
}

func (w *walker) insert(c *candidate) {
	at, _ := slices.BinarySearchFunc(w.list, c, func(o, c *candidate) int {
		if o.id == (ID{}) || c.id != (ID{}) && closer(w.target, o.id, c.id) {
			return -1
		}
		return 1
	})
	w.list = slices.Insert(w.list, at, c)
	if last := len(w.list) - 1; last >= maxCandidates && w.list[last].state != asked {
		w.list = w.list[:last]
	}
}

// next is the closest node that is to be asked: nil when enough closer ones have answered. waiting says that one of those who count is still out.
func (w *walker) next() (c *candidate, waiting bool) {
	answers := 0
	for _, c := range w.list {
		switch c.state {
		case told:
			if answers++; answers >= closest {
				return nil, waiting
			}
		case asked:
			waiting = true
		case fresh:
			return c, waiting
		}
	}
	return nil, waiting
}

func (w *walker) run(ctx context.Context) {
	done := make(chan result, maxAsked)
	timer := time.NewTimer(slowTime)
	defer timer.Stop()
	for {
		c, waiting := w.next()
		for ; c != nil && w.out < alpha && w.asked < maxAsked; c, waiting = w.next() {
			c.state, c.at = asked, time.Now()
			w.asked++
			w.out++
			if w.limit != nil && w.limit.Wait(ctx) != nil {
				return
			}
			if w.n.ask(ctx, c.contact, w.query, done) != nil {
				return
			}
		}
		if (c == nil && !waiting || w.asked >= maxAsked && w.out == 0) && !w.hopes() {
			return
		}
		select {
		case <-ctx.Done():
			return
		case r := <-done:
			w.take(r)
		case <-timer.C:
		}
		timer.Reset(w.late(time.Now()))
	}
}

func (w *walker) answers() (n int) {
	for _, c := range w.list {
		if c.state == told {
			n++
		}
	}
	return n
}

// hopes says whether nodes that are slow may still answer, when too few have.
func (w *walker) hopes() bool {
	return w.answers() < closest && slices.ContainsFunc(w.list, func(c *candidate) bool { return c.state == slow })
}

// late marks who is slow by now, and returns when to look again.
func (w *walker) late(now time.Time) time.Duration {
	wait := callTime
	for _, c := range w.list {
		if c.state != asked {
			continue
		}
		if left := slowTime - now.Sub(c.at); left > 0 {
			wait = min(wait, left)
		} else {
			c.state = slow
			w.out--
		}
	}
	return wait
}

// take notes what became of a query.
func (w *walker) take(r result) {
	i := slices.IndexFunc(w.list, func(c *candidate) bool { return c.addr == r.addr && (c.state == asked || c.state == slow) })
	if i < 0 {
		return
	}
	c := w.list[i]
	if c.state == asked {
		w.out--
	}
	if r.m == nil || r.m.kind != 'r' || r.m.id == nil {
		c.state = dead
		return
	}
	c.state, c.m = told, r.m
	if c.id != r.id { // it is another than we were told
		w.list = slices.Delete(w.list, i, i+1)
		if slices.ContainsFunc(w.list, func(o *candidate) bool { return o.id == r.id }) {
			return
		}
		c.id = r.id
		w.insert(c)
	}
	nodes := r.m.nodes
	if w.f == v6 {
		nodes = r.m.nodes6
	}
	nodes = slices.DeleteFunc(slices.Clone(nodes[:min(len(nodes), 2*closest)]), func(o contact) bool { return !w.n.believes(r.addr, o.addr) })
	w.add(nodes)
	w.n.heardOf(r.addr, nodes, time.Now())
	if w.heard != nil {
		w.heard(r)
	}
}

// best are those who answered closest to the target. Whose ID is not one that its address may have (BEP 42) showed the way, but is not trusted to
// keep anything.
func (w *walker) best() (list []result) {
	for _, c := range w.list {
		if c.state == told && isSecure(c.id, c.addr.Addr()) {
			if list = append(list, result{c.contact, c.m}); len(list) == closest {
				break
			}
		}
	}
	return list
}
