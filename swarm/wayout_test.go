package swarm

import (
	"math/rand/v2"
	"testing"
	"time"

	"shoal/swarm/wire"
)

// carry has a line that takes so many bytes per second measured for a while: what is sent is what may be on its
// way within a round trip, but no more than the line takes.
func (l *wayOut) carry(line float64, trip time.Duration, from, seconds int) {
	l.least = trip
	for i := range seconds * int(time.Second/lineTime) {
		rate := float64(l.limit()) / (trip + lineGoal).Seconds()
		l.full = true // there is always more to send
		l.take(int64(from+i/int(time.Second/lineTime)), min(rate, line))
	}
}

func TestLineIsFoundOut(t *testing.T) {
	for _, line := range []float64{50e3, 2.5e6, 25e6, 250e6} {
		var l wayOut
		if l.limit() != firstOnWay || l.carries() != 0 {
			t.Errorf("limit %d, rate %v of a line that nothing is known of", l.limit(), l.carries())
		}
		l.carry(line, 10*time.Millisecond, 1000, 8)
		if got := l.carries(); got < 0.95*line || got > 1.05*line {
			t.Errorf("after 8 s a line of %.0f bytes/s is thought to carry %.0f", line, got)
		}
		most := int64(1.5*line*(10*time.Millisecond+lineGoal).Seconds()) + leastOnWay
		if got := l.limit(); got > most {
			t.Errorf("on a line of %.0f bytes/s %d bytes may be on their way, want %d at most", line, got, most)
		}
	}
}

// A line that has become slower or faster is seen to be.
func TestLineChanges(t *testing.T) {
	var l wayOut
	l.carry(2.5e6, 10*time.Millisecond, 1000, 10)
	for i, line := range []float64{250e3, 5e6} {
		l.carry(line, 10*time.Millisecond, 1010+20*i, 20)
		if got := l.carries(); got < 0.9*line || got > 1.1*line {
			t.Errorf("20 s after it became one of %.0f bytes/s a line is thought to carry %.0f", line, got)
		}
	}
}

// A line that is not full tells nothing of what it carries.
func TestIdleLineIsNotKnown(t *testing.T) {
	var l wayOut
	l.carry(2.5e6, 10*time.Millisecond, 1000, 5)
	for i := range 60 {
		l.full = false
		l.take(int64(1005+i), 1e3)
	}
	if got := l.carries(); got != 0 {
		t.Errorf("a line that was idle for a minute is thought to carry %.0f bytes/s", got)
	}
}

// As long as a line that is full now and then carries little of what it can, more may be on its way, and no more than before once it is full, or idle.
func TestWhatLiesElsewhereDoesNotFillTheLine(t *testing.T) {
	var l wayOut
	l.carry(2.5e6, 10*time.Millisecond, 1000, 10)
	l.flat = startFlat // no probe
	limit, first := l.limit(), l.firstLimit()
	samples := func(n int, full bool, rate float64) {
		for range n {
			l.full = full
			l.take(1009, rate)
			l.flat = startFlat
		}
	}
	for _, tt := range []struct {
		name string
		end  func()
	}{
		{"full", func() { samples(20, true, 2.5e6) }},
		{"idle", func() { samples(20, false, 1e6) }},
		{"not known any more", func() { l.take(1100, 0); l.take(1101, 2.5e6); l.flat = startFlat }},
	} {
		samples(20, true, 1e6)
		if got := l.limit(); got < 29*limit/10 || got > stretchMost*limit {
			t.Errorf("%d bytes may be on the way in a line of which two fifths are used, want %d times %d", got, stretchMost, limit)
		}
		if got := l.firstLimit(); got < 29*first/10 || got > stretchMost*first {
			t.Errorf("with %d bytes on the way another piece may be begun there, want %d times %d", got, stretchMost, first)
		}
		if l.long(100<<10) || !l.long(200<<10) {
			t.Error("which pieces take long on a line follows from what lies elsewhere")
		}
		if tt.end(); l.limit() != limit {
			t.Errorf("%d bytes may be on the way in a line that is %s, want %d as before", l.limit(), tt.name, limit)
		}
	}
}

// A rate that is a little uneven is not taken for bytes that lie elsewhere, and neither is a block more or less on a slow line.
func TestUnevenLineIsFull(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for name, rate := range map[string]func(i int) float64{
		"uneven": func(int) float64 { return 2.5e6 * (1 + rnd.NormFloat64()/10) },
		"slow": func(i int) float64 {
			return float64((i*32<<10/4/wire.MaxBlock - (i-1)*32<<10/4/wire.MaxBlock) * wire.MaxBlock * 4)
		},
	} {
		var l wayOut
		l.least = 10 * time.Millisecond
		sum := 0.0
		for i := range 4000 {
			l.full = true
			l.take(int64(1000+i/4), rate(i+1))
			sum += max(l.stretch, 1)
		}
		if mean := sum / 4000; mean > 1.05 {
			t.Errorf("%s: %.2f times as much may be on the way in the mean, want little more than once", name, mean)
		}
	}
}

// What lies in front of a slow peer's line is not in ours.
func TestSlowPeerDoesNotFillTheLine(t *testing.T) {
	now := time.Unix(1e9, 0)
	l := &wayOut{rate: 2.5e6, least: 10 * time.Millisecond}
	slow := &conn{inflight: 256 << 10, wire: gauge{queued: 256 << 10}, ackRate: 50e3, moved: now}
	if got := slow.onWay(l, now); got != 2*leastOnWay {
		t.Errorf("%d bytes of half a megabyte count, want %d", got, 2*leastOnWay)
	}
	if got := slow.onWay(&wayOut{}, now); got != firstOnWay/slots {
		t.Errorf("while nothing is known %d bytes count, want %d: others must get some as well", got, firstOnWay/slots)
	}
	fast := &conn{inflight: 64 << 10, wire: gauge{queued: 64 << 10}, ackRate: 2.5e6, moved: now}
	if got := fast.onWay(l, now); got != 128<<10 {
		t.Errorf("%d bytes of a fast peer count, want all %d", got, 128<<10)
	}
	if got := fast.onWay(l, now.Add(2*stuckTime)); got != 0 {
		t.Errorf("%d bytes count that nobody has acknowledged for long, want none", got)
	}
}
