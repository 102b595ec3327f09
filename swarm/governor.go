package swarm

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"shoal/internal/sock"
)

// governor keeps the queue in front of an uplink short, for all connections together: a full one
// makes requests, HAVEs and other people's calls wait for 100 ms and more (bufferbloat). While it
// sees no queue it does nothing. When it sees one, writes are paced at the rate at which bytes are
// seen to arrive, a little more or less as the queue is shorter or longer than queueTarget, so that
// what is not acknowledged stays near rate × (least round trip + queueTarget).
//
// Whose queue it is cannot be seen: an origin that serves sites meets the queues before their links, and the machines of
// a site share the one before its border. Who paces himself by a queue that others fill ends up with nothing. So these
// write at steadyShare of what they did of late at least; a queue of their own empties all the same.
type governor struct {
	pace Pace // what holds writes back; no rate while it does nothing
	wake chan struct{}

	mu    sync.Mutex
	conns map[*conn]*flow // those that write
	link  uplink
}

// flow is a connection that writes.
type flow struct {
	acked  uint64
	at     time.Time // when it was
	known  bool      // acked is
	rate   float64   // at which it grew of late, bytes per second
	unsent int       // the bound that its socket has for what lies unsent
	steady bool
	used   time.Time
}

// gauge is what a connection's socket tells.
type gauge struct {
	acked      uint64        // bytes acknowledged, ever
	queued     int64         // bytes that are not, or not even sent
	rtt, least time.Duration // the round trip now, and the shortest seen
}

// notSent is how much of what we write may lie unsent in the kernel: what goes next is decided
// late, and control messages do not wait behind blocks.
const notSent = 256 << 10

// mostNotSent is the same for who takes that away within unsentTime: to wake the writer for each 128 KiB would cost more than to send them.
const (
	mostNotSent = 2 << 20
	unsentTime  = 10 * time.Millisecond
)

// notSentPaced is the same while writes are held back because of a queue.
const notSentPaced = 32 << 10

const (
	gaugeTime = 25 * time.Millisecond // how often sockets are looked at
	restTime  = time.Second           // a connection that has not written for so long is not
)

func newGovernor() *governor {
	g := &governor{wake: make(chan struct{}, 1), conns: make(map[*conn]*flow)}
	g.pace.slack = 25 * time.Millisecond
	return g
}

// writes takes note that a connection is about to write content.
func (g *governor) writes(c *conn, now time.Time) {
	if now.Sub(c.gauged) < restTime/4 {
		return
	}
	c.gauged = now
	g.mu.Lock()
	defer g.mu.Unlock()
	f := g.conns[c]
	if f == nil {
		f = &flow{}
		g.conns[c] = f
		f.bound(c, 0, g.pace.Rate() > 0)
	}
	f.used, f.steady = now, c.s.steady.Load()
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// bound sets how much of what c is given may lie unsent, at a rate in bytes per second.
func (f *flow) bound(c *conn, rate float64, paced bool) {
	n := min(max(notSent, int(rate*unsentTime.Seconds())), mostNotSent)
	if paced {
		n = notSentPaced
	}
	if n < f.unsent/2 || n > f.unsent*3/2 || n == notSentPaced && f.unsent > n {
		f.unsent = n
		sock.BoundUnsent(c.nc, n)
	}
}

// forget drops a connection that has ended.
func (g *governor) forget(c *conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, c)
}

// run looks at the sockets for as long as some are written to, until ctx is done.
func (g *governor) run(ctx context.Context) {
	tick := time.NewTicker(gaugeTime)
	defer tick.Stop()
	for {
		tick.Stop()
		select {
		case <-ctx.Done():
			return
		case <-g.wake:
		}
		tick.Reset(gaugeTime)
		for busy := true; busy; {
			select {
			case <-ctx.Done():
				return
			case now := <-tick.C:
				busy = g.look(now)
			}
		}
	}
}

// look reads the sockets and sets the pace. It says whether any connection writes.
func (g *governor) look(now time.Time) (busy bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var s sight
	for c, f := range g.conns {
		if now.Sub(f.used) > restTime {
			delete(g.conns, c)
			continue
		}
		m, ok := readGauge(c.nc)
		if !ok {
			continue
		}
		before := f.acked
		known := f.known
		f.look(&s, m)
		f.rate = 0
		if known && f.acked > before {
			f.rate = float64(f.acked-before) / now.Sub(f.at).Seconds()
		}
		f.at = now
	}
	g.set(now, s)
	for c, f := range g.conns {
		f.bound(c, f.rate, g.pace.Rate() > 0)
	}
	return len(g.conns) > 0
}

// look adds to s what was acknowledged of a flow since the last look.
func (f *flow) look(s *sight, m gauge) {
	if f.known && m.acked > f.acked {
		s.add(m, int64(m.acked-f.acked), f.steady)
	}
	f.acked, f.known = m.acked, true
}

// set sets the pace after what was seen of all flows. It says whether writes are held back now and were not before, or
// the other way round.
func (g *governor) set(now time.Time, s sight) (turned bool) {
	before := g.pace.Rate()
	g.pace.Set(g.link.look(now, s))
	return (before > 0) != (g.pace.Rate() > 0)
}

// sight is what was seen of all connections since the last look.
type sight struct {
	acked  int64 // bytes that have arrived
	queued int64 // bytes that are on their way or wait for it
	steady bool  // all of it is of transfers that are
	waits  []waited
}

// waited is for how long what arrived of a connection, or its acknowledgement, was in queues.
type waited struct {
	queue time.Duration
	acked int64
}

func (s *sight) add(m gauge, acked int64, steady bool) {
	s.steady = steady && (s.steady || s.acked == 0)
	s.acked += acked
	s.queued += m.queued
	s.waits = append(s.waits, waited{m.rtt - m.least, acked})
}

// queue is how long the queue in front of our own uplink is, as well as one can tell: that delays what goes to anybody,
// where acknowledgements that wait behind what a peer sends are late for that one alone. A block of 16 KiB takes a line of
// 1.5 Mbit/s 90 ms, so that who gave to such slowed himself down to them. So it is what a quarter of the bytes waited at most.
func (s *sight) queue() time.Duration {
	slices.SortFunc(s.waits, func(a, b waited) int { return cmp.Compare(a.queue, b.queue) })
	var n int64
	for _, w := range s.waits {
		if n += w.acked; n >= s.acked/4 {
			return w.queue
		}
	}
	return 0
}

const (
	// queueTarget is how long a byte may wait in the queue in front of the uplink.
	queueTarget = 25 * time.Millisecond
	// rateTime is over how long the rate is measured.
	rateTime = 200 * time.Millisecond
	// sureLooks is in how many looks in a row a queue must be seen before anything is held back, and
	// leastQueue how many bytes of ours must be in it: a delayed acknowledgement looks like a queue.
	sureLooks  = 4
	leastQueue = 32 << 10
	// quickGain is how much of the rate is added where there is no queue at all.
	quickGain = 0.3
	// slowest is the least part of the rate, for a queue that is long.
	slowest = 0.3
	// fairShare of the best rate of late: who has less may meet longer queues, targetGain times longer for each part of it.
	fairShare  = 0.85
	targetGain = 3
	slowShare  = 0.75 // and who has less than this for fairTime will have no more
	fairTime   = 2 * time.Second
	mostTarget = 2 * queueTarget
	// steadyShare is the least part of the best rate of the last rateMemory seconds, for who is steady.
	steadyShare = 0.85
	// arrivesShare of what is written arrives: all of it, as well as one can tell.
	arrivesShare = 0.95
	// freeGain: without a queue at so many times the rate that made one, the uplink is not what it was.
	freeGain = 2
	// fall is how much of the rate is left at least from one look to the next.
	fall = 0.97
	// leaveTime is how long a queue that is not ours is left alone, at first and at most.
	leaveTime = 10 * time.Second
	leaveMost = 2 * time.Minute
	// sureFall is by how much a queue becomes shorter that obeys.
	sureFall = 5 * time.Millisecond
	// obeyTime is how long a queue has for becoming shorter: what arrives is only seen after a while.
	obeyTime = time.Second
	// soundTime is how long a queue must have obeyed to be ours for sure.
	soundTime = 10 * time.Second
)

// uplink is what is known of the way out. It is a pure function of what is seen.
type uplink struct {
	seen    []arrival // of the last rateTime
	total   int64
	long    int           // looks in a row with a long queue
	rate    float64       // bytes per second that the link carries; 0: nothing is held back
	atQueue float64       // the same when a queue was last seen
	steady  float64       // bytes per second that are written at least
	held    float64       // what was written at since the last look; 0: any rate
	known   float64       // the best rate of late
	target  time.Duration // how long the queue may be
	short   time.Time     // since when it carries less than slowShare of that
	rates   rates

	// While a queue is too long: what it should be by now. A queue that does not become shorter though
	// less is sent than arrives is not ours, but somebody else's, or that of a processor that is busy.
	since  time.Time     // it has been too long and has not become shorter; zero: it is not too long
	low    time.Duration // how long it was then
	should float64       // seconds that it should have left, with all that was on its way then
	last   time.Time
	begun  time.Time // when something was held back
	leave  time.Time // nothing is until then
	left   time.Duration
}

type arrival struct {
	at    time.Time
	total int64
}

// look takes in what was seen, and says at what rate to write; 0: any.
func (u *uplink) look(now time.Time, s sight) (rate int64) {
	defer func() { u.held = float64(rate) }()
	u.total += s.acked
	u.seen = append(u.seen, arrival{now, u.total})
	for len(u.seen) > 2 && now.Sub(u.seen[1].at) >= rateTime {
		u.seen = u.seen[1:]
	}
	first := u.seen[0]
	took := now.Sub(first.at).Seconds()
	if s.acked == 0 || took <= 0 {
		return u.pace(0)
	}
	arrives := float64(u.total-first.total) / took
	carries := arrives
	u.steady = 0
	best := u.remember(now, took, arrives)
	if s.steady {
		carries = max(carries, best)
		u.steady = steadyShare * best
	}
	queue := s.queue()
	u.aim(now, arrives, queue)
	if u.rate == 0 {
		if queue <= queueTarget || s.queued < leastQueue || now.Before(u.leave) {
			u.long = 0
			return 0
		}
		if u.long++; u.long < sureLooks {
			return 0
		}
		u.begun, u.since = now, time.Time{}
	}
	switch {
	case queue > u.target: // the link is full: what arrives is what it carries
		u.rate = max(arrives, fall*u.rate)
		u.atQueue = u.rate
		if u.since.IsZero() || queue < u.low-sureFall { // it has just begun, or obeys
			u.since, u.last, u.low = now, now, queue
			u.should = queue.Seconds() + float64(s.queued)/arrives
		}
		u.should -= now.Sub(u.last).Seconds() * (1 - float64(u.pace(queue))/carries)
		u.last = now
		if u.should < -queueTarget.Seconds() && now.Sub(u.since) > obeyTime {
			u.notOurs(now)
			return 0
		}
	default:
		u.rate, u.since = max(arrives, u.rate), time.Time{}
	}
	if u.rate > freeGain*u.atQueue {
		u.rate, u.long = 0, 0
		return 0
	}
	return u.pace(queue)
}

// aim sets how long the queue may be. What waits for an acknowledgement waits in the queues of others as well, which are
// as long as ours is to be: whose own is empty may still see one that is too long, gave less and less because of it, and
// nobody noticed. So who gives much less than he did of late may meet a longer one, and finds back up if nothing is in it; if it is
// his own after all, he gives no more for it, and that is seen in fairTime.
func (u *uplink) aim(now time.Time, arrives float64, queue time.Duration) {
	u.target = queueTarget
	share := 1.0
	if u.rate > 0 && u.known > 0 && queue <= mostTarget {
		share = u.rate / u.known
	}
	switch {
	case share > slowShare || arrives < arrivesShare*u.held: // or nobody asks for more
		u.short = time.Time{}
	case u.short.IsZero():
		u.short = now
	case now.Sub(u.short) > fairTime: // the link carries no more
		u.rates, u.known, u.short = rates{}, arrives, time.Time{}
		return
	}
	u.target = min(u.target+time.Duration(float64(queueTarget)*targetGain*max(0, fairShare-share)), mostTarget)
}

// remember takes in a rate that was seen over the given seconds, and returns the best of the last rateMemory seconds.
// As long as all arrives that is written while writes are held back, the link is no slower than it was.
func (u *uplink) remember(now time.Time, took, rate float64) (best float64) {
	second := now.Unix()
	x := u.rates.at(second)
	if u.held > 0 && rate >= arrivesShare*u.held {
		rate, took = max(rate, u.known), rateTime.Seconds()
	}
	if took >= rateTime.Seconds()*3/4 { // over less, acknowledgements that come together are a rate that is none
		x.rate = max(x.rate, rate)
	}
	u.known, _ = u.rates.best(second)
	return u.known
}

// notOurs leaves the queue alone for a while, longer each time.
func (u *uplink) notOurs(now time.Time) {
	if now.Sub(u.begun) > soundTime {
		u.left = 0
	}
	u.left = min(max(2*u.left, leaveTime), leaveMost)
	u.leave = now.Add(u.left)
	u.rate, u.long = 0, 0
}

// pace is the rate to write at with a queue of that length.
func (u *uplink) pace(queue time.Duration) int64 {
	if u.rate == 0 {
		return 0
	}
	off := 1 - queue.Seconds()/u.target.Seconds()
	return int64(max(u.rate*max(1+quickGain*off, slowest), u.steady))
}
