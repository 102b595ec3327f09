package lan

import (
	"net/netip"
	"time"
)

const (
	// interval is how long a torrent's announcements are apart (BEP 14).
	interval = 5 * time.Minute
	// again is when it is announced a second time: a single datagram may be lost. BEP 14 has no
	// two within a minute.
	again = time.Minute
	// forgotten is how long a neighbour that is not heard again is remembered.
	forgotten = 2*interval + time.Minute
	// maxNeighbours bounds those remembered of one torrent, maxRemembered of all.
	maxNeighbours = 256
	maxRemembered = 16384
)

// table is what is announced and who was heard. It decides by the clock that it is given; it does
// no I/O and is not safe for concurrent use.
type table struct {
	torrents   map[[20]byte]*torrent
	remembered int
}

type torrent struct {
	next  time.Time // of its announcements
	told  int       // how many there were
	heard map[netip.AddrPort]time.Time
}

func newTable() *table { return &table{torrents: make(map[[20]byte]*torrent)} }

// add has a torrent announced from now on.
func (t *table) add(h [20]byte, now time.Time) {
	if t.torrents[h] == nil {
		t.torrents[h] = &torrent{next: now}
	}
}

func (t *table) remove(h [20]byte) {
	if x := t.torrents[h]; x != nil {
		t.remembered -= len(x.heard)
		delete(t.torrents, h)
	}
}

// due takes up to most torrents that are to be announced now, and says when the next one is.
func (t *table) due(now time.Time, most int) (hashes [][20]byte, next time.Time) {
	next = now.Add(interval)
	for h, x := range t.torrents {
		if x.next.After(now) || len(hashes) >= most {
			if x.next.Before(next) {
				next = x.next
			}
			continue
		}
		hashes = append(hashes, h)
		x.next = now.Add(interval)
		if x.told++; x.told == 1 {
			x.next = now.Add(again)
		}
		if x.next.Before(next) {
			next = x.next
		}
		t.expire(x, now)
	}
	return hashes, next
}

// hasten has all torrents announced now: there is a network that was not there before.
func (t *table) hasten(now time.Time) {
	for _, x := range t.torrents {
		x.next, x.told = now, 0
	}
}

// delay has torrents, which were due but could not be announced, announced at a time.
func (t *table) delay(hashes [][20]byte, at time.Time) {
	for _, h := range hashes {
		if x := t.torrents[h]; x != nil {
			x.next, x.told = at, 0
		}
	}
}

func (t *table) expire(x *torrent, now time.Time) {
	for a, at := range x.heard {
		if now.Sub(at) > forgotten {
			delete(x.heard, a)
			t.remembered--
		}
	}
}

// took takes an announcement that came from an address. common are the torrents in it that we take
// part in too, fresh those of them of which the neighbour was not known.
func (t *table) took(m message, from netip.Addr, now time.Time) (common, fresh [][20]byte) {
	a := netip.AddrPortFrom(from, uint16(m.Port))
	for _, h := range m.Hashes {
		x := t.torrents[h]
		if x == nil {
			continue
		}
		_, known := x.heard[a]
		if !known {
			if len(x.heard) >= maxNeighbours || t.remembered >= maxRemembered {
				t.expire(x, now)
				if len(x.heard) >= maxNeighbours || t.remembered >= maxRemembered {
					continue
				}
			}
			if x.heard == nil {
				x.heard = make(map[netip.AddrPort]time.Time)
			}
			t.remembered++
			fresh = append(fresh, h)
		}
		x.heard[a] = now
		common = append(common, h)
	}
	return common, fresh
}

// has says whether a neighbour has said lately that it takes part in a torrent.
func (t *table) has(h [20]byte, a netip.AddrPort, now time.Time) bool {
	x := t.torrents[h]
	if x == nil {
		return false
	}
	at, ok := x.heard[a]
	return ok && now.Sub(at) <= forgotten
}
