package edgecache

import (
	"cmp"
	"container/list"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"shoal/internal/swarmtest"
)

// Which policy? The same trace for all: how many of the bytes that are asked for are here. The edge's own is the one that runs in production; the others
// are as their papers have them, in whole contents of any size.

// asked is a request of a trace.
type asked struct {
	key  int
	size int64
	next int // when it is asked for again, a place in the trace; past its end: never
}

// makeTrace is demand as edges see it: releases by Zipf's law, of sizes from 1 MB to 4 GB, whose ranks move as new ones come out, and now and then a scan
// over everything.
func makeTrace(n, releases int, scans bool) []asked {
	r := rand.New(rand.NewPCG(1, 2))
	sizes := make([]int64, 2*releases)
	for i := range sizes {
		sizes[i] = int64(min(math.Exp(r.NormFloat64()*1.5+math.Log(40e6)), 4e9)) + 1e6
	}
	weight := make([]float64, releases)
	var sum float64
	for i := range weight {
		sum += math.Pow(float64(i+1), -0.9)
		weight[i] = sum
	}
	at := r.Perm(releases) // which content has a rank
	fresh := releases
	var trace []asked
	for len(trace) < n {
		switch {
		case scans && len(trace)%(n/6) == n/12:
			for key := range releases {
				trace = append(trace, asked{key: key, size: sizes[key]})
			}
		case r.IntN(n/releases*2) == 0 && fresh < len(sizes): // a new release takes the place of an old one
			at[r.IntN(releases)] = fresh
			fresh++
		}
		rank, _ := slices.BinarySearch(weight, r.Float64()*sum)
		key := at[min(rank, releases-1)]
		trace = append(trace, asked{key: key, size: sizes[key]})
	}
	last := map[int]int{}
	for i := len(trace) - 1; i >= 0; i-- {
		trace[i].next = len(trace) + trace[i].key
		if next, ok := last[trace[i].key]; ok {
			trace[i].next = next
		}
		last[trace[i].key] = i
	}
	return trace
}

// byteHits is the part of the bytes asked for that were there, after the first tenth of the trace.
func byteHits(trace []asked, hit func(i int, a asked) bool) float64 {
	var all, hits int64
	for i, a := range trace {
		h := hit(i, a)
		if i < len(trace)/10 {
			continue
		}
		all += a.size
		if h {
			hits += a.size
		}
	}
	return float64(hits) / float64(all)
}

// policies are by name; each makes one with a capacity.
var policies = []struct {
	name  string
	knows bool // the future
	make  func(capacity int64) func(i int, a asked) bool
}{
	{"Shoal", false, newOurs},
	{"LRU", false, newLRU},
	{"SIEVE", false, newSieve},
	{"S3-FIFO", false, newS3FIFO},
	{"GDSF (hits)", false, func(c int64) func(int, asked) bool {
		return newGreedy(c, func(a asked, n float64) float64 { return n / float64(a.size) })
	}},
	{"GDSF (bytes)", false, func(c int64) func(int, asked) bool {
		return newGreedy(c, func(_ asked, n float64) float64 { return n })
	}},
	{"W-TinyLFU", false, newTinyLFU},
	{"Belady", true, func(c int64) func(int, asked) bool { return newBelady(c, func(asked) float64 { return 1 }) }},
	{"Belady by size", true, func(c int64) func(int, asked) bool {
		return newBelady(c, func(a asked) float64 { return float64(a.size) })
	}},
}

func TestPolicyByByteHitRatio(t *testing.T) {
	requests, releases := 4000, 300
	parts := []int64{10}
	if swarmtest.Required("long") {
		requests, releases, parts = 30_000, 1500, []int64{50, 10, 4}
	}
	trace := makeTrace(requests, releases, true)
	var total int64
	seen := map[int]bool{}
	for _, a := range trace {
		if !seen[a.key] {
			seen[a.key] = true
			total += a.size
		}
	}
	for _, part := range parts {
		ours, best := 0.0, 0.0
		line := ""
		for _, p := range policies {
			r := byteHits(trace, p.make(total/part))
			line += fmt.Sprintf("  %s %.3f", p.name, r)
			switch {
			case p.name == "Shoal":
				ours = r
			case !p.knows:
				best = max(best, r)
			}
		}
		t.Logf("room for 1/%d of %d GB:%s", part, total/1e9, line)
		if ours < 0.98*best {
			t.Errorf("with room for 1/%d the edge's policy has %.3f of the bytes, another one %.3f", part, ours, best)
		}
	}
}

func newOurs(capacity int64) func(int, asked) bool {
	type kept struct {
		item
		here bool
	}
	all := map[int]*kept{}
	var used int64
	return func(i int, a asked) bool {
		now := noon.Add(time.Duration(i) * 20 * time.Second)
		k := all[a.key]
		if k == nil {
			k = &kept{item: item{key: fmt.Sprint(a.key), bytes: a.size}}
			all[a.key] = k
		}
		k.heat = k.heat.plus(1, now)
		if k.here {
			return true
		}
		var items []item
		for _, o := range all {
			if o.here {
				items = append(items, o.item)
			}
		}
		victims, ok := admit(items, k.item, used+a.size-capacity, now)
		if !ok {
			return false
		}
		for _, v := range victims {
			var key int
			fmt.Sscan(v.key, &key)
			all[key].here = false
			used -= v.bytes
		}
		k.here = true
		used += a.size
		return false
	}
}

// queue is a list of contents with an index.
type queue struct {
	*list.List
	at   map[int]*list.Element
	used int64
}

func newQueue() *queue { return &queue{list.New(), map[int]*list.Element{}, 0} }

type queued struct {
	asked
	count int
}

func (q *queue) push(x queued) {
	q.at[x.key] = q.PushFront(&x)
	q.used += x.size
}

func (q *queue) drop(e *list.Element) queued {
	x := e.Value.(*queued)
	delete(q.at, x.key)
	q.Remove(e)
	q.used -= x.size
	return *x
}

func newLRU(capacity int64) func(int, asked) bool {
	q := newQueue()
	return func(_ int, a asked) bool {
		if e := q.at[a.key]; e != nil {
			q.MoveToFront(e)
			return true
		}
		if a.size > capacity {
			return false
		}
		for q.used+a.size > capacity {
			q.drop(q.Back())
		}
		q.push(queued{a, 0})
		return false
	}
}

// newSieve is Zhang et al., NSDI 2024.
func newSieve(capacity int64) func(int, asked) bool {
	q := newQueue()
	var hand *list.Element
	return func(_ int, a asked) bool {
		if e := q.at[a.key]; e != nil {
			e.Value.(*queued).count = 1
			return true
		}
		if a.size > capacity {
			return false
		}
		for q.used+a.size > capacity {
			if hand == nil {
				hand = q.Back()
			}
			for hand.Value.(*queued).count > 0 {
				hand.Value.(*queued).count = 0
				if hand = hand.Prev(); hand == nil {
					hand = q.Back()
				}
			}
			next := hand.Prev()
			q.drop(hand)
			hand = next
		}
		q.push(queued{a, 0})
		return false
	}
}

// newS3FIFO is Yang et al., SOSP 2023, with queues bounded in bytes.
func newS3FIFO(capacity int64) func(int, asked) bool {
	small, main, ghost := newQueue(), newQueue(), newQueue()
	shrinkMain := func() {
		for {
			x := main.drop(main.Back())
			if x.count == 0 {
				return
			}
			x.count--
			main.push(x)
		}
	}
	return func(_ int, a asked) bool {
		for _, q := range []*queue{small, main} {
			if e := q.at[a.key]; e != nil {
				x := e.Value.(*queued)
				x.count = min(x.count+1, 3)
				return true
			}
		}
		if a.size > capacity {
			return false
		}
		for small.used+main.used+a.size > capacity {
			if small.used < capacity/10 && main.Len() > 0 || small.Len() == 0 {
				shrinkMain()
				continue
			}
			x := small.drop(small.Back())
			if x.count > 0 {
				x.count = 0
				main.push(x)
				continue
			}
			ghost.push(x)
			for ghost.used > capacity {
				ghost.drop(ghost.Back())
			}
		}
		if e := ghost.at[a.key]; e != nil {
			ghost.drop(e)
			main.push(queued{a, 0})
		} else {
			small.push(queued{a, 0})
		}
		return false
	}
}

// newGreedy is GreedyDual with frequency (Cherkasova, 1998): what is worth least goes, and what comes in begins where that one was.
func newGreedy(capacity int64, worth func(a asked, n float64) float64) func(int, asked) bool {
	type kept struct {
		asked
		n, value float64
	}
	all := map[int]*kept{}
	var used int64
	level := 0.0
	return func(_ int, a asked) bool {
		if k := all[a.key]; k != nil {
			k.n++
			k.value = level + worth(a, k.n)
			return true
		}
		if a.size > capacity {
			return false
		}
		for used+a.size > capacity {
			var least *kept
			for _, k := range all {
				if least == nil || cmp.Or(cmp.Compare(k.value, least.value), cmp.Compare(k.key, least.key)) < 0 {
					least = k
				}
			}
			level = least.value
			used -= least.size
			delete(all, least.key)
		}
		all[a.key] = &kept{a, 1, level + worth(a, 1)}
		used += a.size
		return false
	}
}

// newTinyLFU is Einziger, Friedman, Manes 2017 with aggregated victims (2021): an LRU window of 1 % and an LRU behind an admission by frequency.
func newTinyLFU(capacity int64) func(int, asked) bool {
	window, main := newQueue(), newQueue()
	count, sum := map[int]float64{}, 0.0
	return func(_ int, a asked) bool {
		count[a.key]++
		if sum++; sum > 20_000 {
			for k := range count {
				count[k] /= 2
			}
			sum /= 2
		}
		for _, q := range []*queue{window, main} {
			if e := q.at[a.key]; e != nil {
				q.MoveToFront(e)
				return true
			}
		}
		if a.size > capacity {
			return false
		}
		window.push(queued{a, 0})
		for window.used > capacity/100 {
			c := window.drop(window.Back())
			var victims []*list.Element
			lost, free := 0.0, capacity-capacity/100-main.used
			for e := main.Back(); e != nil && free < c.size; e = e.Prev() {
				victims = append(victims, e)
				lost += count[e.Value.(*queued).key]
				free += e.Value.(*queued).size
			}
			if free < c.size || len(victims) > 0 && lost >= count[c.key] {
				continue
			}
			for _, e := range victims {
				main.drop(e)
			}
			main.push(c)
		}
		return false
	}
}

// newBelady knows when everything is asked for next: what is farthest away, times its weight, goes or does not come in.
func newBelady(capacity int64, weight func(asked) float64) func(int, asked) bool {
	all := map[int]asked{}
	var used int64
	return func(i int, a asked) bool {
		_, hit := all[a.key]
		if !hit {
			used += a.size
		}
		all[a.key] = a
		for used > capacity {
			worst, most := 0, -1.0
			for k, x := range all {
				if w := float64(x.next-i) * weight(x); w > most || w == most && k < worst {
					worst, most = k, w
				}
			}
			used -= all[worst].size
			delete(all, worst)
		}
		return hit
	}
}
