package tracker

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
)

// address is how an IP address lies in a table. The families have tables of their own: an IPv4 peer takes 36 bytes, not 48, and
// compact answers want them apart anyway.
type address interface{ [4]byte | [16]byte }

type kind uint8

const (
	leecher kind = iota // wants pieces
	partial             // has all it wants, but not everything (BEP 21)
	seed                // has everything
)

// peer is one address of a swarm.
type peer[A address] struct {
	spot[A]
	detail
}

// spot is what of a peer is looked at when others are told of it. All that an announce looks at lies close together: the tracker's time is
// what it waits for memory.
type spot[A address] struct {
	addr    A
	port    uint16
	state   state
	mark    uint8  // of the id, see markOf: two peers with different marks have different ids
	expires uint32 // second from which it counts as gone
}

// detail is the rest.
type detail struct {
	id   [20]byte
	site uint32 // 0: none
}

// state is a peer's kind, and more that is known of it.
type state uint8

const (
	stateKind  state = 3
	stateLocal state = 4 // it announced over loopback, so it is on this machine: see home.go
	stateSite  state = 8 // its site is not 0
)

func (s state) kind() kind  { return kind(s & stateKind) }
func (s state) local() bool { return s&stateLocal != 0 }

// newPeer puts a peer together.
func newPeer[A address](addr A, port uint16, k kind, local bool, expires uint32, id [20]byte, site uint32) peer[A] {
	st := state(k)
	if local {
		st |= stateLocal
	}
	if site != 0 {
		st |= stateSite
	}
	return peer[A]{spot[A]{addr, port, st, markOf(&id), expires}, detail{id, site}}
}

// markOf is a byte made of an id.
func markOf(id *[20]byte) uint8 {
	x := binary.LittleEndian.Uint64(id[:]) ^ bits.RotateLeft64(binary.LittleEndian.Uint64(id[6:]), 7) ^ binary.LittleEndian.Uint64(id[12:])
	return uint8(x * 0x9e3779b97f4a7c15 >> 56)
}

// table holds the peers of one family of a swarm: the first wanting ones want pieces, the others do not. That order makes "a seed gets
// leechers only" free. Within each half chance orders them, so that any run of neighbours is a sample. Nothing in it is a pointer: the
// collector never looks at peers. Its zero value is empty.
type table[A address] struct {
	wanting int32
	seeds   int32
	spots   []spot[A]
	tags    []uint8  // of the same positions, see tagOf
	index   []uint32 // open addressing, see indexEntry, 0 is free; nil while a scan of all tags is as fast
	details []detail // of the same positions
}

const (
	// indexFrom is the number of peers from which on an index is kept: up to there all tags fit into a few cache lines, and a look at one more
	// spot is the price of a wrong one.
	indexFrom = 257

	// maxTable bounds the peers of one table: an entry of the index has that many bits for the position, and the rest for some of the hash,
	// so that hardly any entry but the right one makes us look at a peer.
	positionBits = 24
	maxTable     = 1<<positionBits - 2
)

type endpoint[A address] struct {
	addr A
	port uint16
}

// hashSeed is drawn per process so that nobody can choose addresses which collide.
var hashSeed = [2]uint64{rand.Uint64(), rand.Uint64() | 1}

func hashOf[A address](addr *A, port uint16) uint32 {
	h := uint64(port) ^ hashSeed[0]
	switch a := any(addr).(type) {
	case *[4]byte:
		h ^= uint64(binary.LittleEndian.Uint32(a[:])) << 16
	case *[16]byte:
		h = mix64(h^binary.LittleEndian.Uint64(a[:8]), hashSeed[1])
		h ^= binary.LittleEndian.Uint64(a[8:])
	}
	return uint32(mix64(h, hashSeed[1]))
}

// mix64 folds a product (as wyhash does).
func mix64(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// tagOf is a byte of a hash: a spot with another tag has another address.
func tagOf(hash uint32) uint8 { return uint8(hash >> positionBits) }

func indexEntry(position int, hash uint32) uint32 {
	return uint32(position+1) | hash>>positionBits<<positionBits
}

func positionOf(entry uint32) int { return int(entry&(1<<positionBits-1)) - 1 }

func (t *table[A]) len() int { return len(t.spots) }

func (t *table[A]) at(i int) peer[A] { return peer[A]{t.spots[i], t.details[i]} }

// find returns the position of an address, or -1.
func (t *table[A]) find(addr A, port uint16) int { return t.findHash(&addr, port, hashOf(&addr, port)) }

func (t *table[A]) findHash(addr *A, port uint16, hash uint32) int {
	if t.index == nil {
		for i := 0; ; i++ {
			next := bytes.IndexByte(t.tags[i:], tagOf(hash))
			if next < 0 {
				return -1
			}
			i += next
			if p := &t.spots[i]; p.port == port && p.addr == *addr {
				return i
			}
		}
	}
	mask := uint32(len(t.index) - 1)
	for slot := hash & mask; t.index[slot] != 0; slot = (slot + 1) & mask {
		if e := t.index[slot]; (e^hash)>>positionBits == 0 {
			i := positionOf(e)
			if p := &t.spots[i]; p.port == port && p.addr == *addr {
				return i
			}
		}
	}
	return -1
}

// refresh puts a peer that is there already, as the same kind, without a site, and as it seems with the same id, and looks at nothing but its
// spot. It is what most announces are. That a client has a new id it says with "started": who has not is refreshed. False: put it.
func (t *table[A]) refresh(p *peer[A]) bool {
	i := t.find(p.addr, p.port)
	if i < 0 {
		return false
	}
	s := &t.spots[i]
	if s.state != p.state || s.state&stateSite != 0 || s.mark != p.mark {
		return false
	}
	s.expires = p.expires
	return true
}

// put adds a peer or replaces the one at its address, which it returns. random is where it comes to stand.
func (t *table[A]) put(p peer[A], random uint32) (old peer[A], had bool) {
	if i := t.find(p.addr, p.port); i >= 0 {
		old = t.at(i)
		t.spots[i] = p.spot
		if old.detail != p.detail {
			t.details[i] = p.detail
		}
		if before, now := old.state.kind(), p.state.kind(); before != now {
			t.count(before, -1)
			t.count(now, +1)
			t.settle(i, before, now, random)
		}
		return old, true
	}
	t.grow()
	hash := hashOf(&p.addr, p.port)
	t.spots, t.details, t.tags = append(t.spots, p.spot), append(t.details, p.detail), append(t.tags, tagOf(hash))
	t.count(p.state.kind(), +1)
	i := len(t.spots) - 1
	if t.index != nil {
		t.index[t.freeSlot(hash)] = indexEntry(i, hash)
	}
	t.settle(i, partial, p.state.kind(), random)
	return old, false
}

// settle moves the peer at position i, which stands where those of a kind do, to some position among those of another.
func (t *table[A]) settle(i int, before, now kind, random uint32) {
	switch {
	case before == leecher && now != leecher:
		t.wanting--
		i = t.swap(i, int(t.wanting))
	case before != leecher && now == leecher:
		i = t.swap(i, int(t.wanting))
		t.wanting++
	}
	from, to := int(t.wanting), len(t.spots)
	if now == leecher {
		from, to = 0, int(t.wanting)
	}
	t.swap(i, from+int(uint64(random)*uint64(to-from)>>32))
}

// drop forgets the peer at an address, if it is there.
func (t *table[A]) drop(addr A, port uint16) {
	if i := t.find(addr, port); i >= 0 {
		t.remove(i)
	}
}

// remove forgets the peer at position i. The positions of others change.
func (t *table[A]) remove(i int) {
	t.count(t.spots[i].state.kind(), -1)
	if i < int(t.wanting) {
		t.wanting--
		i = t.swap(i, int(t.wanting))
	}
	last := len(t.spots) - 1
	t.swap(i, last)
	if t.index != nil {
		t.clearSlot(t.slotOf(last))
	}
	t.spots, t.details, t.tags = t.spots[:last], t.details[:last], t.tags[:last]
	if last < indexFrom/2 {
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
		t.index[si] ^= uint32(i+1) ^ uint32(j+1)
		t.index[sj] ^= uint32(i+1) ^ uint32(j+1)
	}
	t.spots[i], t.spots[j] = t.spots[j], t.spots[i]
	t.details[i], t.details[j] = t.details[j], t.details[i]
	t.tags[i], t.tags[j] = t.tags[j], t.tags[i]
	return j
}

// grow makes room for one more peer. Swarms grow by a quarter, not by doubling: most of the tracker's memory is here.
func (t *table[A]) grow() {
	n := len(t.spots)
	if n == cap(t.spots) {
		t.resize(n + n/4 + 2)
	}
	if (t.index == nil && n+1 >= indexFrom) || (t.index != nil && (n+1)*4 > len(t.index)*3) {
		t.reindex()
	}
}

// shrink gives memory back after many peers have left.
func (t *table[A]) shrink() {
	n := len(t.spots)
	if cap(t.spots) > 2*n+8 {
		t.resize(n + n/4)
		if t.index != nil {
			t.reindex()
		}
	}
}

func (t *table[A]) resize(room int) {
	t.spots, t.details, t.tags = moved(t.spots, room), moved(t.details, room), moved(t.tags, room)
}

// moved is a copy with so much room, to the byte: append would round it up.
func moved[T any](s []T, room int) []T {
	out := make([]T, len(s), room)
	copy(out, s)
	return out
}

func (t *table[A]) reindex() {
	size := 512
	for size*5 < (len(t.spots)+1)*8 { // at most 62 % full when made, grows at 75 %
		size *= 2
	}
	t.index = make([]uint32, size)
	for i := range t.spots {
		hash := hashOf(&t.spots[i].addr, t.spots[i].port)
		t.index[t.freeSlot(hash)] = indexEntry(i, hash)
	}
}

func (t *table[A]) freeSlot(hash uint32) uint32 {
	mask := uint32(len(t.index) - 1)
	slot := hash & mask
	for t.index[slot] != 0 {
		slot = (slot + 1) & mask
	}
	return slot
}

// slotOf returns the slot that points to position i.
func (t *table[A]) slotOf(i int) uint32 {
	mask := uint32(len(t.index) - 1)
	hash := hashOf(&t.spots[i].addr, t.spots[i].port)
	slot := hash & mask
	for t.index[slot] != indexEntry(i, hash) {
		slot = (slot + 1) & mask
	}
	return slot
}

// clearSlot frees a slot and moves later ones of its run up, so that no look-up stops short (Knuth, 6.4, algorithm R).
func (t *table[A]) clearSlot(free uint32) {
	mask := uint32(len(t.index) - 1)
	for slot := (free + 1) & mask; t.index[slot] != 0; slot = (slot + 1) & mask {
		p := &t.spots[positionOf(t.index[slot])]
		home := hashOf(&p.addr, p.port) & mask
		if (slot-home)&mask >= (slot-free)&mask {
			t.index[free] = t.index[slot]
			free = slot
		}
	}
	t.index[free] = 0
}
