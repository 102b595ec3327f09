package swarm

import (
	"testing"
	"time"
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

// As long as a line that has always something to send carries little of what it can, more may be on its way, and no more than before once it is full.
func TestWhatLiesElsewhereDoesNotFillTheLine(t *testing.T) {
	var l wayOut
	l.carry(2.5e6, 10*time.Millisecond, 1000, 10)
	l.flat = startFlat // no probe
	limit, first := l.limit(), l.firstLimit()
	for range 20 {
		l.full = true
		l.take(1009, 1e6)
		l.flat = startFlat
	}
	if got := l.limit(); got < 79*limit/10 || got > stretchMost*limit {
		t.Errorf("%d bytes may be on the way in a line of which two fifths are used, want %d times %d", got, stretchMost, limit)
	}
	if got := l.firstLimit(); got < 79*first/10 || got > stretchMost*first {
		t.Errorf("with %d bytes on the way another piece may be begun there, want %d times %d", got, stretchMost, first)
	}
	for range 20 {
		l.take(1009, 2.5e6)
		l.flat = startFlat
	}
	if got := l.limit(); got != limit {
		t.Errorf("%d bytes may be on the way in a line that is full, want %d as before", got, limit)
	}
	for range 20 {
		l.full = false
		l.take(1009, 1e6)
		l.flat = startFlat
	}
	if got := l.limit(); got != limit {
		t.Errorf("%d bytes may be on the way where there is little to send, want %d", got, limit)
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
