package edgecache

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// halfLife is how fast demand is forgotten: what was asked for a day ago counts half.
const halfLife = 24 * time.Hour

// heat is how much a content is asked for: a count of requests, each as many as the share of the content that it was for, that halves every
// half-life. The zero value was never asked for.
type heat struct {
	N  float64   `json:"n"`
	At time.Time `json:"at"`
}

// now is the heat at a time.
func (h heat) now(at time.Time) float64 {
	if h.N == 0 {
		return 0
	}
	return h.N * math.Exp2(-max(0, at.Sub(h.At).Hours())/halfLife.Hours())
}

// plus is the heat after one more request for a share of the content.
func (h heat) plus(share float64, at time.Time) heat {
	if at.Before(h.At) { // the clock was set back
		at = h.At
	}
	return heat{h.now(at) + share, at}
}

// ownedWorth is what it counts, in requests, that a content is to be here by the ring: owners keep what is asked for elsewhere too.
const ownedWorth = 8

// item is what the policy knows of a content.
type item struct {
	key    string
	bytes  int64 // that it takes of the disk, all included
	heat   heat
	pinned bool // it stays
	owned  bool // the ring wants it here
	busy   bool // it is being fetched or served at this moment
}

// value is how many bytes each byte of an item is expected to serve in a half-life: for the bytes that are saved, it does not matter how they are cut into
// contents.
func (i *item) value(now time.Time) float64 {
	v := i.heat.now(now)
	if i.owned {
		v += ownedWorth
	}
	return v
}

// evict chooses what goes so that need bytes are free: what is worth least per byte first, what is in use last, and nothing that is pinned. ok is false if
// that is not enough.
func evict(items []item, need int64, now time.Time) (victims []item, ok bool) {
	if need <= 0 {
		return nil, true
	}
	type ranked struct {
		item
		value float64
	}
	var order []ranked
	for _, i := range items {
		if !i.pinned {
			order = append(order, ranked{i, i.value(now)})
		}
	}
	slices.SortFunc(order, func(a, b ranked) int {
		if a.busy != b.busy {
			if a.busy {
				return 1
			}
			return -1
		}
		return cmp.Or(cmp.Compare(a.value, b.value), cmp.Compare(b.bytes, a.bytes), cmp.Compare(a.key, b.key))
	})
	for _, r := range order {
		victims = append(victims, r.item)
		if need -= r.bytes; need <= 0 {
			return spare(victims, -need), true
		}
	}
	return nil, false
}

// spare takes back victims that need not go, since later ones were large enough: the most valuable first.
func spare(victims []item, over int64) []item {
	for i := len(victims) - 2; i >= 0; i-- {
		if victims[i].bytes <= over {
			over -= victims[i].bytes
			victims = slices.Delete(victims, i, i+1)
		}
	}
	return victims
}

// admit decides whether a content comes in that lacks need bytes of room, and what goes for it: it must be worth more than all of that together (Einziger et
// al., "Lightweight Robust Size Aware Cache Management", 2021: aggregated victims). So one scan over everything displaces nothing, and a large content
// nothing that small ones serve better. What is pinned comes in at any price; what is in use goes for nothing else.
func admit(items []item, c item, need int64, now time.Time) (victims []item, ok bool) {
	victims, ok = evict(items, need, now)
	if !ok || c.pinned {
		return victims, ok
	}
	var lost float64
	for _, v := range victims {
		if v.busy {
			return nil, false
		}
		lost += v.value(now) * float64(v.bytes)
	}
	if len(victims) > 0 && lost >= c.value(now)*float64(c.bytes) {
		return nil, false
	}
	return victims, true
}
