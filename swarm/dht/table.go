package dht

import (
	"net/netip"
	"slices"
	"time"
)

const (
	// bucketSize is how many nodes we know at each distance (K in BEP 5, where it is 8). More make look-ups shorter and outlive more losses.
	bucketSize = 16
	// closest is how many nodes an answer names, and how many store something.
	closest = 8
	// goodTime is how long a node counts as there after its last answer (BEP 5).
	goodTime = 15 * time.Minute
	// maxFails is how many questions in a row a node may leave unanswered.
	maxFails = 3
)

// entry is a node in the table. Only who has answered a question of ours gets in: a stranger can put any source address on a datagram.
type entry struct {
	contact
	seen  time.Time // its last answer
	asked time.Time
	fails int // questions in a row that it has not answered
}

func (e *entry) good(now time.Time) bool { return e.fails == 0 && now.Sub(e.seen) < goodTime }

// bucket holds nodes that share so many bits with us, and some that could take their place.
type bucket struct {
	nodes []*entry
	spare []contact // heard of, newest last
	// refreshed is when we last looked for nodes here.
	refreshed time.Time
}

// table knows nodes of one address family, many near to us and few far away. It is not safe for concurrent use.
type table struct {
	self    ID
	buckets [160]bucket
	size    int
}

func (t *table) bucket(id ID) *bucket { return &t.buckets[min(sharedBits(t.self, id), 159)] }

// answered notes that a node has answered a question of ours.
func (t *table) answered(c contact, now time.Time) {
	if c.id == t.self || c.id == (ID{}) {
		return
	}
	b := t.bucket(c.id)
	i := slices.IndexFunc(b.nodes, func(e *entry) bool { return e.id == c.id })
	if i >= 0 && b.nodes[i].addr == c.addr {
		e := b.nodes[i]
		e.seen, e.fails = now, 0
		return
	}
	if i >= 0 && b.nodes[i].fails == 0 && now.Sub(b.nodes[i].seen) < goodTime {
		return // another has this ID: the one that we know stays
	}
	if i >= 0 {
		t.drop(b, i)
	}
	t.forget(c.addr) // it was there with another ID
	if !isSecure(c.id, c.addr.Addr()) || t.crowded(c.addr.Addr()) {
		return
	}
	if len(b.nodes) >= bucketSize {
		i := slices.IndexFunc(b.nodes, func(e *entry) bool { return e.fails > 0 })
		if i < 0 {
			b.keep(c)
			return
		}
		t.drop(b, i)
	}
	b.nodes = append(b.nodes, &entry{contact: c, seen: now})
	b.spare = slices.DeleteFunc(b.spare, func(s contact) bool { return s.id == c.id || s.addr == c.addr })
	t.size++
}

// failed notes that a node has not answered.
func (t *table) failed(c contact) {
	for i := range t.buckets {
		b := &t.buckets[i]
		for j, e := range b.nodes {
			if e.addr != c.addr {
				continue
			}
			if e.fails++; e.fails >= maxFails || e.fails > 1 && len(b.spare) > 0 {
				t.drop(b, j)
			}
			return
		}
	}
}

// heard takes a node that we have not asked anything, and says whether that is worth doing: there is room for it.
func (t *table) heard(c contact, now time.Time) bool {
	if c.id == t.self || c.id == (ID{}) || !isSecure(c.id, c.addr.Addr()) {
		return false
	}
	b := t.bucket(c.id)
	for _, e := range b.nodes {
		if e.id == c.id || e.addr == c.addr {
			return !e.good(now) && now.Sub(e.asked) > time.Minute
		}
	}
	if len(b.nodes) < bucketSize {
		return !t.crowded(c.addr.Addr())
	}
	b.keep(c)
	return slices.ContainsFunc(b.nodes, func(e *entry) bool { return e.fails > 0 })
}

func (b *bucket) keep(c contact) {
	b.spare = slices.DeleteFunc(b.spare, func(s contact) bool { return s.id == c.id || s.addr == c.addr })
	if len(b.spare) >= bucketSize {
		b.spare = slices.Delete(b.spare, 0, 1)
	}
	b.spare = append(b.spare, c)
}

func (t *table) drop(b *bucket, i int) {
	b.nodes = slices.Delete(b.nodes, i, i+1)
	t.size--
}

// forget drops whoever was known at an address.
func (t *table) forget(a netip.AddrPort) {
	for i := range t.buckets {
		b := &t.buckets[i]
		if j := slices.IndexFunc(b.nodes, func(e *entry) bool { return e.addr == a }); j >= 0 {
			t.drop(b, j)
		}
	}
}

// maxPerNetwork bounds the nodes of one public network, so that whoever has one cannot fill the table.
const maxPerNetwork = 2

// crowded says whether enough nodes are known of a network: a /24, or a /48 of IPv6.
func (t *table) crowded(ip netip.Addr) bool {
	if !Routable(ip) {
		return false
	}
	net, n := network(ip), 0
	for i := range t.buckets {
		for _, e := range t.buckets[i].nodes {
			if network(e.addr.Addr()) == net {
				n++
			}
		}
	}
	return n >= maxPerNetwork
}

// network is the network that one party is likely to have for itself.
func network(ip netip.Addr) netip.Prefix {
	bits := 24
	if ip.Is6() {
		bits = 48
	}
	p, _ := ip.Prefix(bits)
	return p
}

// nearest names up to n nodes that are closest to target. Only good ones are told to others.
func (t *table) nearest(target ID, n int, now time.Time, onlyGood bool) []contact {
	list := make([]contact, 0, n+1)
	for i := range t.buckets {
		for _, e := range t.buckets[i].nodes {
			if onlyGood && !e.good(now) || len(list) == n && !closer(target, e.id, list[n-1].id) {
				continue
			}
			at, _ := slices.BinarySearchFunc(list, e.id, func(c contact, id ID) int {
				if closer(target, c.id, id) {
					return -1
				}
				return 1
			})
			list = slices.Insert(list, at, e.contact)
			list = list[:min(len(list), n)]
		}
	}
	return list
}

// due lists nodes to ask for a sign of life: not heard of for a while, or late with an answer; and, where there is room, some that we have only heard of.
func (t *table) due(now time.Time) (list []contact) {
	for i := range t.buckets {
		b := &t.buckets[i]
		for _, e := range b.nodes {
			if !e.good(now.Add(goodTime/5)) && now.Sub(e.asked) > 10*time.Second {
				e.asked = now
				list = append(list, e.contact)
			}
		}
		for room := bucketSize - len(b.nodes); room > 0 && len(b.spare) > 0; room-- {
			last := len(b.spare) - 1
			list = append(list, b.spare[last])
			b.spare = b.spare[:last]
		}
	}
	return list
}

// gaps lists distances at which we know few nodes although there should be more, the nearest to us last; it marks them as refreshed. Farther than the
// nearest node that we know of there must be others, at any distance.
func (t *table) gaps(now time.Time, every time.Duration) (list []int) {
	deepest := 0
	for i := range t.buckets {
		if len(t.buckets[i].nodes) > 0 {
			deepest = i
		}
	}
	for i := range min(deepest+1, 159) {
		b := &t.buckets[i]
		if len(b.nodes) < bucketSize && now.Sub(b.refreshed) >= every || now.Sub(b.refreshed) >= goodTime {
			b.refreshed = now
			list = append(list, i)
		}
	}
	return list
}

// all lists every node that has answered lately.
func (t *table) all(now time.Time) (list []contact) {
	for i := range t.buckets {
		for _, e := range t.buckets[i].nodes {
			if e.fails == 0 {
				list = append(list, e.contact)
			}
		}
	}
	return list
}

// rename gives us another ID; the nodes move to where they then belong.
func (t *table) rename(id ID) {
	old := *t
	*t = table{self: id}
	for i := range old.buckets {
		for _, e := range old.buckets[i].nodes {
			b := t.bucket(e.id)
			if e.id != id && len(b.nodes) < bucketSize {
				b.nodes = append(b.nodes, e)
				t.size++
			}
		}
	}
}
