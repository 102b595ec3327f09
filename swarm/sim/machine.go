package sim

import (
	"errors"
	"net/netip"
	"time"

	"shoal/swarm"
)

// Machine is one machine of a simulation, and what became of it.
type Machine struct {
	Host
	Index    int
	Arrived  time.Duration // since the begin
	Finished time.Duration // when it had everything; 0: it has not
	Died     time.Duration // 0: it has not
	Referred bool          // it was left to peers to tell it what it fetches

	r        *run
	addr     netip.AddrPort
	node     *swarm.Virtual
	up, down *link
	dead     bool
	here     bool // it has arrived
	sent     int64
	received int64
	asked    int // announces
}

// site is machines behind one link.
type site struct {
	up, down *link
	prefix   netip.Prefix
}

var errNoRoute = errors.New("cannot be reached")

// between is the way from one machine to another.
func (r *run) between(a, b *Machine) path {
	var p path
	add := func(l *link) {
		if l != nil {
			p.links = append(p.links, l)
		}
	}
	add(a.up)
	lag := r.Latency
	if a.Site != b.Site {
		if s := r.sites[a.Site]; s != nil {
			add(s.up)
		}
		if s := r.sites[b.Site]; s != nil {
			add(s.down)
		}
	} else if a.Site != "" {
		lag = r.LANLatency
	}
	add(b.down)
	p.lag = int64(lag)
	return p
}

// delay is how long a packet takes on a way at the moment.
func (p path) delay(now int64) int64 {
	d := p.lag
	for _, l := range p.links {
		d += l.delay(now)
	}
	return d
}

// The run is the fabric of its machines.

// Now is the virtual clock.
func (r *run) Now() time.Time { return r.now() }

// After has f called at a machine after a while.
func (r *run) After(v *swarm.Virtual, d time.Duration, f func()) {
	m := r.of[v]
	r.add(event{at: r.at + int64(d), kind: call, f: func() {
		if !m.dead {
			f()
		}
	}})
}

// Dial opens a connection: two round trips, for TCP and for the handshakes.
func (r *run) Dial(v *swarm.Virtual, to netip.AddrPort, done func(*swarm.VirtualConn, error)) {
	a := r.of[v]
	b := r.at4[to]
	fail := func(after time.Duration) { r.After(v, after, func() { done(nil, errNoRoute) }) }
	switch {
	case b == nil || !b.here || b.dead || !b.takes(a):
		fail(5 * time.Second)
		return
	}
	way, back := r.between(a, b), r.between(b, a)
	now := r.at
	trip := way.delay(now) + back.delay(now)
	r.add(event{at: now + trip*3/2, kind: call, f: func() {
		if a.dead || b.dead {
			return
		}
		rtt := time.Duration(way.lag + back.lag)
		ours, theirs := a.node.NewConn(b.node, b.addr, rtt, false), b.node.NewConn(a.node, a.ephemeral(), rtt, true)
		ours.Far, theirs.Far = theirs, ours
		r.link(ours, a, b, way, back)
		r.link(theirs, b, a, back, way)
		f := theirs.Link.(*flow)
		ours.Link.(*flow).open = true
		theirs.Join()
		r.add(event{at: r.at + back.delay(r.at), kind: call, f: func() { // the handshake's answer
			if a.dead {
				return
			}
			f.open = true
			done(ours, nil)
			ours.Join()
			if f.dead && !b.dead {
				ours.FarClosed()
				return
			}
			f.hand()
		}})
	}})
}

// takes says whether a can open a connection to b.
func (b *Machine) takes(a *Machine) bool { return !b.NAT || b.Site != "" && b.Site == a.Site }

// ephemeral is the address that a connection opened by m comes from.
func (m *Machine) ephemeral() netip.AddrPort {
	m.asked++
	return netip.AddrPortFrom(m.addr.Addr(), uint16(32768+m.asked%28000))
}

func (r *run) link(c *swarm.VirtualConn, from, to *Machine, way, back path) {
	c.Link = &flow{n: &r.network, from: from, to: to, conn: c, way: way, back: back, notSent: notSent, window: firstWindow, threshold: 1 << 30}
}

// Poke says that a connection has something to send.
func (r *run) Poke(c *swarm.VirtualConn) {
	if f, ok := c.Link.(*flow); ok {
		r.poke(f)
	}
}

// Gauge is what a machine's system knows of its end of a connection.
func (r *run) Gauge(c *swarm.VirtualConn) (acked uint64, queued int64, rtt, least time.Duration) {
	f := c.Link.(*flow)
	return uint64(f.acks), int64(f.unsent + f.inflight), time.Duration(f.rtt), time.Duration(f.leastRTT)
}

// Unsent bounds what a socket takes beyond what is on its way.
func (r *run) Unsent(c *swarm.VirtualConn, n int) { c.Link.(*flow).notSent = n }

// Close ends a connection; the other end learns of it once what is in the queues has passed.
func (r *run) Close(c *swarm.VirtualConn) {
	f := c.Link.(*flow)
	f.dead = true
	f.queued, f.unsent = nil, 0
	if !f.open { // the other end has not joined yet, and will see when it does
		return
	}
	far := c.Far
	r.add(event{at: r.at + f.way.delay(r.at), kind: call, f: func() {
		if !f.to.dead {
			far.FarClosed()
		}
	}})
}
