package swarm

import (
	"testing"
	"time"
)

// line is an uplink with a queue in front of it, and connections that always have something to write.
type line struct {
	u        uplink
	now      time.Time
	rate     float64 // bytes per second
	least    time.Duration
	most     float64 // bytes that fit into the queue
	queue    float64
	unsent   float64 // bytes in sockets' buffers, which the pace does not hold back any more
	smooth   float64 // the smoothed round trip's part of queueing, seconds
	pace     int64
	credit   float64
	arrived  float64
	slow     time.Duration // queue of a receiver's own that a hundredth of the bytes goes through
	buffers  float64       // bytes that sockets take without being held back
	waiting  float64       // seconds in the queue, times bytes
	measured float64       // bytes since the last measure
}

func (l *line) step(d time.Duration) {
	const tick = time.Millisecond
	for range d / tick {
		l.now = l.now.Add(tick)
		room := max(0, l.most-l.queue) // loss keeps connections from more
		if l.pace == 0 {
			l.queue += min(room, l.rate) // TCP fills it
		} else {
			l.credit = min(l.credit+float64(l.pace)*tick.Seconds(), float64(l.pace)/100)
			n := min(room, l.credit+l.unsent)
			l.unsent = max(0, l.unsent-n)
			l.queue += n
			l.credit = max(0, l.credit-n)
		}
		out := min(l.queue, l.rate*tick.Seconds())
		l.queue -= out
		l.arrived += out
		l.measured += out
		delay := l.queue / l.rate
		l.waiting += delay * out
		l.smooth += (delay - l.smooth) / 16
		if l.now.Sub(time.Unix(0, 0))%gaugeTime == 0 {
			var s sight
			n := int64(l.arrived)
			l.arrived -= float64(n)
			g := gauge{least: l.least, rtt: l.least + time.Duration(l.smooth*float64(time.Second)), queued: int64(l.queue + l.unsent)}
			if n > 0 {
				s.add(g, n-n/100, false)
				g.rtt += l.slow
				s.add(g, n/100, false)
			}
			before := l.pace
			l.pace = l.u.look(l.now, s)
			if before == 0 && l.pace > 0 {
				l.unsent = l.buffers
			}
		}
	}
}

// measure answers what went out, and how long it waited.
func (l *line) measure(d time.Duration) (rate float64, waited time.Duration) {
	l.measured, l.waiting = 0, 0
	l.step(d)
	return l.measured / d.Seconds(), time.Duration(l.waiting / max(l.measured, 1) * float64(time.Second))
}

func TestUplinkQueueIsShortAndTheLinkBusy(t *testing.T) {
	for name, l := range map[string]*line{
		"20 Mbit/s, 100 ms of queue":       {rate: 2.5e6, least: time.Millisecond, most: 250e3, buffers: 256e3},
		"20 Mbit/s, a queue of a second":   {rate: 2.5e6, least: 10 * time.Millisecond, most: 2.5e6, buffers: 1e6},
		"1 Gbit/s, 100 ms of queue":        {rate: 125e6, least: 5 * time.Millisecond, most: 12.5e6, buffers: 1e6},
		"5 Mbit/s, with a slow receiver":   {rate: 625e3, least: 30 * time.Millisecond, most: 62.5e3, slow: time.Second},
		"50 Mbit/s, 40 ms away, no buffer": {rate: 6.25e6, least: 40 * time.Millisecond, most: 600e3},
	} {
		t.Run(name, func(t *testing.T) {
			l.now = time.Unix(0, 0)
			if _, waited := l.measure(100 * time.Millisecond); waited < queueTarget {
				t.Fatalf("before anything is done bytes wait %v, want a long queue", waited)
			}
			l.step(5 * time.Second) // more than it takes
			rate, waited := l.measure(20 * time.Second)
			if rate < 0.97*l.rate {
				t.Errorf("%.0f bytes/s go out, want 97 %% of %.0f", rate, l.rate)
			}
			if waited < 10*time.Millisecond || waited > 32*time.Millisecond {
				t.Errorf("bytes wait %v, want about %v", waited, queueTarget)
			}
			l.rate *= 5 // more room, without a queue: what is known of the link is wrong
			l.most *= 5
			l.step(5 * time.Second)
			if rate, _ := l.measure(10 * time.Second); rate < 0.95*l.rate {
				t.Errorf("after the link became faster %.0f bytes/s go out, want 95 %% of %.0f", rate, l.rate)
			}
			l.rate /= 10 // and slower
			l.most /= 10
			l.step(5 * time.Second)
			if rate, waited := l.measure(10 * time.Second); rate < 0.95*l.rate || waited > 40*time.Millisecond {
				t.Errorf("after the link became slower %.0f bytes/s go out and wait %v, want 95 %% of %.0f and about %v", rate, waited, l.rate, queueTarget)
			}
		})
	}
}

// A queue that others fill, before links that they share, does not starve who is steady.
func TestSteadyUplinksAreNotStarvedByOthers(t *testing.T) {
	run := func(steady bool) float64 {
		var u uplink
		now, pace, carried := time.Unix(0, 0), 2.5e6, 0.0
		for i := range 4000 { // others leave a short queue for a moment now and then, and fill it again
			now = now.Add(gaugeTime)
			queue := time.Duration(20+2*(i%20)) * time.Millisecond
			n := int64(pace * gaugeTime.Seconds())
			carried += float64(n)
			var s sight
			s.add(gauge{queued: 200_000, least: time.Millisecond, rtt: time.Millisecond + queue}, n, steady)
			pace = 2.5e6
			if held := float64(u.look(now, s)); held > 0 {
				pace = min(pace, held)
			}
		}
		return carried / (4000 * gaugeTime.Seconds() * 2.5e6)
	}
	if got := run(true); got < steadyShare-0.01 {
		t.Errorf("a steady uplink had %.2f of what it could have, want %.1f", got, steadyShare)
	}
	if got := run(false); got > steadyShare-0.1 {
		t.Errorf("another had %.2f as well: the test shows nothing", got)
	}
}

// Acknowledgements that wait behind what some peers send are no queue of ours.
func TestUplinkIsNotSlowedDownByOthersLines(t *testing.T) {
	run := func(late int) (held bool) {
		var u uplink
		now := time.Unix(0, 0)
		for range 400 {
			now = now.Add(gaugeTime)
			var s sight
			for i := range 10 {
				wait := 5 * time.Millisecond
				if i < late {
					wait = 90 * time.Millisecond
				}
				s.add(gauge{queued: 20_000, least: time.Millisecond, rtt: time.Millisecond + wait}, 3000, false)
			}
			held = held || u.look(now, s) > 0
		}
		return held
	}
	if run(6) {
		t.Error("held back, though 4 of 10 are reached at once")
	}
	if !run(10) {
		t.Error("not held back by a queue that all wait in")
	}
}

// Where there is no queue, or one of a few receivers' own, nothing is held back.
func TestUplinkWithoutAQueueIsLeftAlone(t *testing.T) {
	for name, l := range map[string]*line{
		"loopback":        {rate: 1e9, least: 50 * time.Microsecond, most: 5e6},
		"a slow receiver": {rate: 1e7, least: 10 * time.Millisecond, most: 1e5, slow: 500 * time.Millisecond},
	} {
		l.now = time.Unix(0, 0)
		for range 400 {
			if l.step(gaugeTime); l.pace != 0 {
				t.Errorf("%s: held back to %d bytes/s", name, l.pace)
				break
			}
		}
	}
	// A processor that is busy makes round trips long, whatever is sent: little is lost by finding that out.
	var busy uplink
	sent, now := 0.0, time.Unix(0, 0)
	for range 4000 {
		now = now.Add(gaugeTime)
		rate := 1e7
		if pace := busy.pace(60 * time.Millisecond); pace > 0 {
			rate = min(rate, float64(pace))
		}
		n := rate * gaugeTime.Seconds()
		sent += n
		busy.look(now, sight{acked: int64(n), queued: 600_000, waits: []waited{{60 * time.Millisecond, int64(n)}}})
	}
	if share := sent / (1e7 * 4000 * gaugeTime.Seconds()); share < 0.97 {
		t.Errorf("with round trips that are long for another reason %.2f of the rate is left, want 0.97", share)
	}
	var u uplink // an acknowledgement that is delayed looks like a queue, but there is nothing in it
	for range 400 {
		now = now.Add(gaugeTime)
		if pace := u.look(now, sight{acked: 4000, queued: 1400, waits: []waited{{40 * time.Millisecond, 4000}}}); pace != 0 {
			t.Fatalf("a trickle is held back to %d bytes/s", pace)
		}
	}
}

// Whose queue is empty finds back up to what he gave, though acknowledgements wait in the queues of others for a little longer than
// his own may be.
func TestUplinkFindsBackUp(t *testing.T) {
	var u uplink
	now := time.Unix(0, 0)
	const link, others = 2.5e6, 27 * time.Millisecond // bytes per second, and the queues of others
	queue := 0.0                                      // ours, bytes
	step := func(demand float64) (arrives float64) {
		now = now.Add(gaugeTime)
		if u.held > 0 {
			demand = min(demand, u.held)
		}
		queue += demand * gaugeTime.Seconds()
		out := min(queue, link*gaugeTime.Seconds())
		queue -= out
		wait := time.Duration(queue / link * float64(time.Second))
		var s sight
		for range 4 {
			s.add(gauge{least: time.Millisecond, rtt: time.Millisecond + wait + others, queued: int64(queue/4) + 20_000}, int64(out/4), false)
		}
		u.look(now, s)
		return out / gaugeTime.Seconds()
	}
	for range 40 {
		step(1.1 * link)
	}
	for range 40 { // nobody asks for much
		step(0.3 * link)
	}
	u.rate = 0.3 * link
	got := 0.0
	for range 80 {
		got = step(1.1 * link)
	}
	if got < 0.8*link {
		t.Errorf("after two seconds %.2f of the link is used, want 0.8 at least", got/link)
	}
}
