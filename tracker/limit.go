package tracker

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
)

// limiter bounds how many requests per second one source may make: an IPv4 address, or a /64 of IPv6, which is what one machine has. A source
// that has been quiet may make limitBurst seconds' worth at once, as machines behind one NAT do when they are switched on together.
//
// It is a table of fixed size without chains: a slot belongs to the source that came last to it while that source's time is not up, so that who
// comes from many addresses can at most take others' slots over, which forgets what these have used up. Each slot is one word: the low 12 bits
// tell sources apart, the others are when the source has nothing used up any more, in microseconds (GCRA's "theoretical arrival time").
type limiter struct {
	perRequest uint64 // microseconds, up to a second; 0: no limit
	seed       maphash.Seed
	start      time.Time
	slots      []atomic.Uint64
}

const (
	limitSlots = 1 << 16
	limitBurst = 10 // seconds
)

func newLimiter(perSecond int) *limiter {
	if perSecond <= 0 {
		return &limiter{}
	}
	return &limiter{perRequest: max(uint64(1e6/perSecond), 1), seed: maphash.MakeSeed(), start: time.Now(), slots: make([]atomic.Uint64, limitSlots)}
}

// allow counts a request of a source, and says whether it may be answered.
func (l *limiter) allow(from netip.Addr, at time.Time) bool {
	if l.perRequest == 0 || from.IsLoopback() { // an origin announces all its contents to the tracker beside it
		return true
	}
	b := from.As16()
	if !from.Is4() {
		clear(b[8:])
	}
	h := maphash.Bytes(l.seed, b[:])
	slot := &l.slots[h%limitSlots]
	tag := h >> 32 & 0xfff // the 52 bits for the time are enough for 142 years
	now := uint64(max(at.Sub(l.start), 0) / time.Microsecond)
	for {
		old := slot.Load()
		full := old >> 12
		if old&0xfff != tag || full < now {
			full = now
		}
		if full-now > limitBurst*1e6-l.perRequest {
			return false
		}
		if slot.CompareAndSwap(old, (full+l.perRequest)<<12|tag) {
			return true
		}
	}
}
