package dht

import (
	"net/netip"
	"sync"
	"time"
)

// family is an index: IPv4 and IPv6 are two networks (BEP 32).
type family int

const (
	v4 family = iota
	v6
)

func familyOf(a netip.Addr) family {
	if a.Is4() {
		return v4
	}
	return v6
}

func (f family) String() string { return [...]string{"IPv4", "IPv6"}[f] }

// half is our place in the network of one address family.
type half struct {
	mu    sync.Mutex
	table table
	votes votes
	self  netip.Addr // how others see us, once enough agree
}

func (h *half) id() ID {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.table.self
}

func (h *half) nearest(target ID, many int, now time.Time, onlyGood bool) []contact {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.table.nearest(target, many, now, onlyGood)
}

// answered takes note of an answer, and of how its sender sees us. It returns our new address if that has just become clear.
func (h *half) answered(c contact, seen netip.AddrPort, now time.Time) (self netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.table.answered(c, now)
	if !seen.IsValid() || familyOf(seen.Addr()) != familyOf(c.addr.Addr()) {
		return self
	}
	winner := h.votes.cast(c.addr.Addr(), seen.Addr())
	if !winner.IsValid() || winner == h.self {
		return self
	}
	h.self = winner
	if !isSecure(h.table.self, winner) {
		h.table.rename(secureID(winner))
	}
	return winner
}

func (h *half) failed(c contact) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.table.failed(c)
}

func (h *half) heard(c contact, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.table.heard(c, now)
}

func (h *half) count(now time.Time) (all, good int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.table.buckets {
		for _, e := range h.table.buckets[i].nodes {
			if e.good(now) {
				good++
			}
		}
	}
	return h.table.size, good
}

// votes finds out our address from what others say (BEP 42). A network has one vote, the last that it cast, so that nobody who has only one can
// make us believe anything.
type votes struct {
	by map[netip.Prefix]netip.Addr
}

const (
	maxVoters = 64
	// quorum is how many must agree, and they must be more than half of those who said anything.
	quorum = 4
)

// cast counts a vote, and returns the address that has won; the zero address if none has.
func (v *votes) cast(voter, self netip.Addr) netip.Addr {
	if v.by == nil {
		v.by = make(map[netip.Prefix]netip.Addr)
	}
	by := network(voter)
	if _, voted := v.by[by]; !voted && len(v.by) >= maxVoters {
		for old := range v.by { // any
			delete(v.by, old)
			break
		}
	}
	v.by[by] = self
	n := 0
	for _, a := range v.by {
		if a == self {
			n++
		}
	}
	if n < quorum || 2*n <= len(v.by) {
		return netip.Addr{}
	}
	return self
}
