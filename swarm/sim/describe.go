package sim

import (
	"bytes"

	"shoal/swarm"
)

// referral is what a magnet link takes in place of a .torrent, and request what it takes to ask for either, in bytes with
// the headers of HTTP.
const (
	referral = 242
	request  = 200
)

// metainfoBytes is the length of the .torrent.
func (c *Content) metainfoBytes() (int, error) {
	var b bytes.Buffer
	err := c.torrent.Write(&b)
	return b.Len(), err
}

// ask has a machine ask an origin over HTTP what to fetch: it is told, or referred to peers. Who finds no origin was told
// before.
func (r *run) ask(m *Machine, then func(swarm.Description)) {
	o := r.origin()
	if o == nil || m.Seed || m.Liar {
		then(swarm.Whole)
		return
	}
	way, back := r.between(m, o), r.between(o, m)
	at := r.at + way.lag + back.lag // TCP's handshake
	r.add(event{at: way.charge(at, wireBytes(request)) + way.lag, kind: call, f: func() {
		if o.dead {
			then(swarm.Whole)
			return
		}
		answer := func(n int, what swarm.Description) {
			r.add(event{at: back.charge(r.at, wireBytes(n)) + back.lag, kind: call, f: func() { then(what) }})
		}
		if !o.node.Refers() {
			answer(r.metainfo, swarm.Whole)
			return
		}
		wait := o.node.Turn()
		var refer func()
		refer = func() {
			switch d := wait(); {
			case o.dead:
				then(swarm.Whole)
			case d > 0:
				r.add(event{at: r.at + int64(d), kind: call, f: refer})
			default:
				answer(referral, swarm.Referred)
			}
		}
		refer()
	}})
}

// origin is the first that is there.
func (r *run) origin() *Machine {
	for _, m := range r.machines {
		if m.Origin && m.node != nil && !m.dead {
			return m
		}
	}
	return nil
}
