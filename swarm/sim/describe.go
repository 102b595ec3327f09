package sim

import (
	"bytes"

	"shoal/swarm"
)

// referral is what a magnet link takes in place of a .torrent, and request what it takes to ask for either, in bytes with
// the headers of HTTP.
const (
	referral = 500
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
		n, what := r.metainfo, swarm.Whole
		if o.node.Refers() {
			n, what = referral, swarm.Referred
		}
		r.add(event{at: back.charge(r.at, wireBytes(n)) + back.lag, kind: call, f: func() { then(what) }})
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
