package sim

import (
	"math"
	"time"

	"shoal/swarm"
)

// What Ethernet, IPv4 and TCP with time stamps cost, in bytes.
const (
	segment    = 1448
	headers    = 66
	ackPackets = 2 // one acknowledgement for so many
)

// wireBytes is what n bytes of a stream take on a link.
func wireBytes(n int) int64 { return int64(n + headers*((n+segment-1)/segment)) }

// link is a queue before a wire.
type link struct {
	rate  float64 // bytes per second
	queue int64   // ns that its queue holds; what comes then is taken as a sign to slow down
	free  int64   // when all that is in the queue has gone
	bytes int64   // carried, ever
	busy  int64   // ns
	seen  int64   // of busy, when last looked at
}

// since is for how many seconds a link was busy since the last look.
func (l *link) since() float64 {
	if l == nil {
		return 0
	}
	d := l.busy - l.seen
	l.seen = l.busy
	return float64(d) / 1e9
}

// newLink makes a link of so many bits per second; nil is one without limit.
func newLink(bitsPerSec float64, queue time.Duration) *link {
	if bitsPerSec <= 0 {
		return nil
	}
	return &link{rate: bitsPerSec / 8, queue: int64(queue)}
}

// put has n bytes wait their turn from at on, and returns when they have left.
func (l *link) put(at, n int64) int64 {
	took := int64(float64(n) / l.rate * 1e9)
	l.free = max(l.free, at) + took
	l.bytes += n
	l.busy += took
	return l.free
}

// delay is how long what comes at that time has to wait.
func (l *link) delay(at int64) int64 { return max(0, l.free-at) }

// path is the way from one machine to another.
type path struct {
	links []*link
	lag   int64 // ns on the wires
}

const (
	// notSent is what a socket takes beyond what is on its way (TCP_NOTSENT_LOWAT as swarm sets it at first); a writer
	// that waits is woken when half of it has gone.
	notSent = 256 << 10
	// firstWindow is what may be on its way at first (RFC 6928).
	firstWindow = 10 * segment
	// idleTime without anything to send, and a window begins anew (RFC 2861).
	idleTime = 250 * time.Millisecond
)

// flow is one direction of a connection.
type flow struct {
	n        *network
	from, to *Machine
	conn     *swarm.VirtualConn // the sending end
	way      path
	back     path

	queued    []swarm.VirtualMessage // pulled and not delivered
	head      int                    // bytes of queued[0] that were delivered
	unsent    int                    // bytes pulled and not sent
	inflight  int                    // bytes sent and not acknowledged
	window    float64                // bytes that may be on their way
	threshold float64                // where slow start ends
	most      float64                // the window when it was last cut
	cutAt     int64
	calm      int64 // no cut before
	leastRTT  int64
	rtt       int64   // smoothed
	acks      int64   // bytes acknowledged
	notSent   int     // bytes that the socket takes beyond what is on its way
	last      int64   // when something was last sent
	passed    int64   // when the last message that was sent on its own arrives
	sentAt    []int64 // of what is on its way
	sizes     []int32
	full      bool // the socket takes no more
	ready     bool // in network.poked
	open      bool // the other end has joined: until then what comes waits
	dead      bool
}

// network moves bytes.
type network struct {
	clock
	quantum int // bytes that travel as one
	poked   []*flow
	loops   uint64 // events that happened
}

func (n *network) poke(f *flow) {
	if !f.ready && !f.dead {
		f.ready = true
		n.poked = append(n.poked, f)
	}
}

// pump fills a socket and sends what its window allows.
func (f *flow) pump() {
	if f.dead || f.from.dead {
		return
	}
	if f.express() {
		return
	}
	for {
		f.fill()
		room := int(f.window) - f.inflight
		size := min(f.unsent, f.n.quantum)
		if size == 0 || room < min(size, segment) && f.inflight > 0 {
			return
		}
		f.send(min(size, max(room, segment)))
	}
}

// express sends control messages that fit into a packet, and have nothing of their flow before them, in one step: most
// of what happens in a large swarm is that pieces are told of. They and their acknowledgement take their time on all
// links, but nothing waits for the latter.
func (f *flow) express() bool {
	for f.inflight == 0 && f.unsent == 0 && f.open && !f.to.dead {
		m, ok := f.conn.Pull()
		if !ok {
			return true
		}
		if m.Bytes > segment || !m.Control() {
			f.queued = append(f.queued, m)
			f.unsent += m.Bytes
			return false
		}
		f.from.sent += int64(m.Bytes)
		at := f.way.charge(f.n.at, int64(headers+m.Bytes))
		f.passed = max(f.passed, at+f.way.lag)
		f.trip(f.passed - f.n.at + f.back.delay(f.passed) + f.back.lag)
		f.n.add(event{at: f.passed, kind: express, flow: f, m: &m})
	}
	return false
}

// charge has n bytes pass all links of the way at once, and says when they are through.
func (p path) charge(at, n int64) int64 {
	for i, l := range p.links {
		switch {
		case i == 0:
			at = l.put(at, n)
		case l.free > at:
			at += l.delay(at)
			l.free += int64(float64(n) / l.rate * 1e9)
			fallthrough
		default:
			l.bytes += n
		}
	}
	return at
}

func (f *flow) fill() {
	if f.full && f.unsent >= f.notSent/2 {
		return
	}
	f.full = false
	for f.unsent < f.notSent {
		m, ok := f.conn.Pull()
		if !ok {
			return
		}
		f.queued = append(f.queued, m)
		f.unsent += m.Bytes
	}
	f.full = true
}

func (f *flow) send(size int) {
	now := f.n.at
	if f.inflight == 0 && now-f.last > int64(idleTime) {
		f.window = min(f.window, firstWindow)
	}
	f.last = now
	f.unsent -= size
	f.inflight += size
	f.sentAt = append(f.sentAt, now)
	f.sizes = append(f.sizes, int32(size))
	f.from.sent += int64(size)
	f.forward(0, int32(size))
}

// forward has n bytes go on from their hop-th link.
func (f *flow) forward(hop uint8, n int32) {
	if int(hop) == len(f.way.links) {
		f.n.add(event{at: f.n.at + f.way.lag, kind: deliver, flow: f, n: n})
		return
	}
	l := f.way.links[hop]
	if l.delay(f.n.at) > l.queue {
		f.cut()
	}
	at := l.put(f.n.at, wireBytes(int(n)))
	if int(hop) == len(f.way.links)-1 {
		f.n.add(event{at: at + f.way.lag, kind: deliver, flow: f, n: n})
	} else {
		f.n.add(event{at: at, kind: arriveAt, flow: f, n: n, hop: hop + 1})
	}
}

// cut is what a full queue does to a window, once in a round trip.
func (f *flow) cut() {
	if f.n.at < f.calm {
		return
	}
	f.most = f.window
	f.window = max(f.window*0.7, 2*segment)
	f.threshold = f.window
	f.cutAt = f.n.at
	f.calm = f.n.at + max(f.leastRTT, int64(20*time.Millisecond)) + f.way.links[0].delay(f.n.at)
}

// arrived hands what has come to the other end, and has it acknowledged.
func (f *flow) arrived(n int32) {
	if f.to.dead {
		return
	}
	// The acknowledgements wait in the queues of the way back.
	packets := (int64(n) + segment - 1) / segment
	bytes := headers * ((packets + ackPackets - 1) / ackPackets)
	at := f.back.charge(f.n.at, bytes)
	f.n.add(event{at: at + f.back.lag, kind: ack, flow: f, n: n})
	if f.dead {
		return
	}
	f.to.received += int64(n)
	f.head += int(n)
	f.hand()
}

// handExpress gives the other end a message that came on its own.
func (f *flow) handExpress(m *swarm.VirtualMessage) {
	if f.to.dead {
		return
	}
	f.back.charge(f.n.at, headers)
	if f.dead {
		return
	}
	f.to.received += int64(m.Bytes)
	f.conn.Far.Deliver(*m)
}

// hand gives the other end what is complete.
func (f *flow) hand() {
	for f.open && len(f.queued) > 0 && f.head >= f.queued[0].Bytes {
		m := f.queued[0]
		f.queued[0] = swarm.VirtualMessage{}
		f.queued = f.queued[1:]
		f.head -= m.Bytes
		f.conn.Far.Deliver(m)
	}
}

// trip takes in what a round trip took.
func (f *flow) trip(took int64) {
	if f.rtt == 0 {
		f.rtt = took
	}
	f.rtt += (took - f.rtt) / 8
	if f.leastRTT == 0 || took < f.leastRTT {
		f.leastRTT = took
	}
}

// acked opens the window.
func (f *flow) acked(n int32) {
	if len(f.sizes) == 0 {
		return
	}
	now := f.n.at
	rtt := now - f.sentAt[0]
	limited := float64(f.inflight) > f.window-float64(f.n.quantum)-segment // else the window proves nothing (RFC 7661)
	f.sentAt, f.sizes = f.sentAt[1:], f.sizes[1:]
	f.inflight -= int(n)
	f.acks += int64(n)
	f.trip(rtt)
	switch {
	case !limited:
	case f.window < f.threshold:
		f.window += float64(n)
		if f.window > 16*segment && rtt > f.leastRTT+min(max(f.leastRTT/8, int64(4*time.Millisecond)), int64(16*time.Millisecond)) { // HyStart
			f.threshold, f.most, f.cutAt = f.window, f.window, now
		}
	default: // CUBIC (RFC 9438), or as fast as Reno if that is faster
		t := float64(now-f.cutAt)/1e9 + float64(rtt)/1e9
		k := math.Cbrt(f.most / segment * 0.3 / 0.4)
		target := (0.4*(t-k)*(t-k)*(t-k) + f.most/segment) * segment
		grow := segment * float64(n) / f.window * 0.5
		if target > f.window {
			grow = max(grow, (target-f.window)/f.window*float64(n))
		}
		f.window += min(grow, float64(n)/2)
	}
	f.pump()
}

// run lets things happen until there is nothing left or stop says so.
func (n *network) run(stop func() bool) {
	for {
		for len(n.poked) > 0 {
			poked := n.poked
			n.poked = nil
			for _, f := range poked {
				f.ready = false
				f.pump()
			}
		}
		if stop() {
			return
		}
		e, ok := n.next()
		if !ok {
			return
		}
		n.loops++
		switch e.kind {
		case call:
			e.f()
		case arriveAt:
			e.flow.forward(e.hop, e.n)
		case deliver:
			e.flow.arrived(e.n)
		case ack:
			e.flow.acked(e.n)
		case express:
			e.flow.handExpress(e.m)
		}
	}
}
