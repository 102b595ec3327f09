package dht

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// sourceLimit bounds how many queries one source may ask. It has a fixed number of slots, into which sources fall by a secret hash: who shares a
// slot shares its allowance. So it needs no memory for those who invent addresses.
type sourceLimit struct {
	perSec, burst float64
	seed          maphash.Seed

	mu    sync.Mutex
	slots [4096]slot
}

type slot struct {
	left float32
	at   int64 // ms since start; 0: never used
}

func newSourceLimit(perSec, burst float64) *sourceLimit {
	return &sourceLimit{perSec: perSec, burst: burst, seed: maphash.MakeSeed()}
}

// source is what is counted as one: an address, or a /64 of IPv6; where addresses are not public, many nodes may be behind one, and an address cannot be invented
// by just anybody, so that the port counts too.
func source(a netip.AddrPort) netip.AddrPort {
	switch {
	case !Routable(a.Addr()):
		return a
	case a.Addr().Is6():
		p, _ := a.Addr().Prefix(64)
		return netip.AddrPortFrom(p.Addr(), 0)
	}
	return netip.AddrPortFrom(a.Addr(), 0)
}

func (l *sourceLimit) allow(a netip.AddrPort, now time.Time) bool {
	i := maphash.Comparable(l.seed, source(a)) % uint64(len(l.slots))
	ms := now.UnixMilli()
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &l.slots[i]
	if p.at == 0 {
		p.left = float32(l.burst)
	} else if d := ms - p.at; d > 0 {
		p.left = float32(min(l.burst, float64(p.left)+float64(d)/1000*l.perSec))
	}
	p.at = ms
	if p.left < 1 {
		return false
	}
	p.left--
	return true
}
