package tracker

import "hash/maphash"

// address is how an IP address lies in a table. The families have tables of their own: an IPv4 peer takes 36 bytes, not 48, and
// compact answers want them apart anyway.
type address interface{ [4]byte | [16]byte }

type kind uint8

const (
	leecher kind = iota // wants pieces
	partial             // has all it wants, but not everything (BEP 21)
	seed                // has everything
)

// peer is one address of a swarm. It holds no pointers: the collector never looks at peers.
type peer[A address] struct {
	addr    A
	port    uint16
	kind    kind
	local   bool // announced over loopback, so it is on this machine: see home.go
	id      [20]byte
	expires uint32 // second from which it counts as gone
	site    uint32 // 0: none
}

// table holds the peers of one family of a swarm: peers[:wanting] want pieces, peers[wanting:] do not. That order makes "a seed gets
// leechers only" free. Its zero value is empty.
type table[A address] struct {
	peers   []peer[A]
	index   []uint32 // open addressing, position+1, 0 is free; nil while a scan of all peers is as fast
	wanting int32
	seeds   int32
}

// indexFrom is the number of peers from which on an index is kept: up to there all fit into nine cache lines.
const indexFrom = 17

type endpoint[A address] struct {
	addr A
	port uint16
}

// hashSeed is drawn per process so that nobody can choose addresses which collide.
var hashSeed = maphash.MakeSeed()

func hashOf[A address](addr A, port uint16) uint32 {
	return uint32(maphash.Comparable(hashSeed, endpoint[A]{addr, port}))
}

func (t *table[A]) len() int { return len(t.peers) }

// find returns the position of an address, or -1.
func (t *table[A]) find(addr A, port uint16) int {
	if t.index == nil {
		for i := range t.peers {
			if p := &t.peers[i]; p.port == port && p.addr == addr {
				return i
			}
		}
		return -1
	}
	mask := uint32(len(t.index) - 1)
	for slot := hashOf(addr, port) & mask; t.index[slot] != 0; slot = (slot + 1) & mask {
		if p := &t.peers[t.index[slot]-1]; p.port == port && p.addr == addr {
			return int(t.index[slot] - 1)
		}
	}
	return -1
}

// put adds a peer or replaces the one at its address, which it returns.
func (t *table[A]) put(p peer[A]) (old peer[A], had bool) {
	i := t.find(p.addr, p.port)
	if i >= 0 {
		old, had = t.peers[i], true
		t.count(old.kind, -1)
		if wants := old.kind == leecher; wants && p.kind != leecher {
			t.wanting--
			i = t.swap(i, int(t.wanting))
		} else if !wants && p.kind == leecher {
			i = t.swap(i, int(t.wanting))
			t.wanting++
		}
		t.peers[i] = p
		t.count(p.kind, +1)
		return old, true
	}
	t.grow()
	t.peers = append(t.peers, p)
	t.count(p.kind, +1)
	i = len(t.peers) - 1
	if t.index != nil {
		t.index[t.freeSlot(p.addr, p.port)] = uint32(i + 1)
	}
	if p.kind == leecher {
		t.swap(i, int(t.wanting))
		t.wanting++
	}
	return old, false
}

// drop forgets the peer at an address, if it is there.
func (t *table[A]) drop(addr A, port uint16) {
	if i := t.find(addr, port); i >= 0 {
		t.remove(i)
	}
}

// remove forgets the peer at position i. The positions of others change.
func (t *table[A]) remove(i int) {
	t.count(t.peers[i].kind, -1)
	if i < int(t.wanting) {
		t.wanting--
		i = t.swap(i, int(t.wanting))
	}
	last := len(t.peers) - 1
	t.swap(i, last)
	if t.index != nil {
		t.clearSlot(t.slotOf(last))
	}
	t.peers = t.peers[:last]
	if len(t.peers) < indexFrom/2 {
		t.index = nil
	}
}

func (t *table[A]) count(k kind, by int32) {
	if k == seed {
		t.seeds += by
	}
}

// swap exchanges two peers and returns where the first is now.
func (t *table[A]) swap(i, j int) int {
	if i == j {
		return j
	}
	if t.index != nil {
		si, sj := t.slotOf(i), t.slotOf(j)
		t.index[si], t.index[sj] = uint32(j+1), uint32(i+1)
	}
	t.peers[i], t.peers[j] = t.peers[j], t.peers[i]
	return j
}

// grow makes room for one more peer. Swarms grow by a quarter, not by doubling: most of the tracker's memory is here.
func (t *table[A]) grow() {
	n := len(t.peers)
	if n == cap(t.peers) {
		t.resize(n + n/4 + 2)
	}
	if (t.index == nil && n+1 >= indexFrom) || (t.index != nil && (n+1)*4 > len(t.index)*3) {
		t.reindex()
	}
}

// shrink gives memory back after many peers have left.
func (t *table[A]) shrink() {
	n := len(t.peers)
	if cap(t.peers) > 2*n+8 {
		t.resize(n + n/4)
		if t.index != nil {
			t.reindex()
		}
	}
}

func (t *table[A]) resize(room int) {
	peers := make([]peer[A], len(t.peers), room)
	copy(peers, t.peers)
	t.peers = peers
}

func (t *table[A]) reindex() {
	size := 32
	for size*5 < (len(t.peers)+1)*8 { // at most 62 % full when made, grows at 75 %
		size *= 2
	}
	t.index = make([]uint32, size)
	for i := range t.peers {
		p := &t.peers[i]
		t.index[t.freeSlot(p.addr, p.port)] = uint32(i + 1)
	}
}

func (t *table[A]) freeSlot(addr A, port uint16) uint32 {
	mask := uint32(len(t.index) - 1)
	slot := hashOf(addr, port) & mask
	for t.index[slot] != 0 {
		slot = (slot + 1) & mask
	}
	return slot
}

// slotOf returns the slot that points to position i.
func (t *table[A]) slotOf(i int) uint32 {
	mask := uint32(len(t.index) - 1)
	slot := hashOf(t.peers[i].addr, t.peers[i].port) & mask
	for t.index[slot] != uint32(i+1) {
		slot = (slot + 1) & mask
	}
	return slot
}

// clearSlot frees a slot and moves later ones of its run up, so that no look-up stops short (Knuth, 6.4, algorithm R).
func (t *table[A]) clearSlot(free uint32) {
	mask := uint32(len(t.index) - 1)
	for slot := (free + 1) & mask; t.index[slot] != 0; slot = (slot + 1) & mask {
		p := &t.peers[t.index[slot]-1]
		home := hashOf(p.addr, p.port) & mask
		if (slot-home)&mask >= (slot-free)&mask {
			t.index[free] = t.index[slot]
			free = slot
		}
	}
	t.index[free] = 0
}
