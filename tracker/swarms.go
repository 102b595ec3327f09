package tracker

import (
	"encoding/binary"
	"iter"
	"sync/atomic"
)

// swarms finds swarms by their info hash. A Go map would do, but for the time it waits for memory: this looks at one place of the table, and
// at the swarm itself. It is changed with the shard locked; peek needs no lock.
type swarms struct {
	slots atomic.Pointer[[]swarmSlot] // open addressing; a power of two of them, at most three quarters taken
	n     int
}

type swarmSlot struct {
	key atomic.Uint64
	sw  atomic.Pointer[swarm] // nil: free
}

// keyOf mixes an info hash with the process's seed, so that nobody can choose hashes that collide.
func keyOf(hash *[20]byte) uint64 {
	return mix64(binary.LittleEndian.Uint64(hash[:])^hashSeed[0], binary.LittleEndian.Uint64(hash[8:])^hashSeed[1]) ^ uint64(binary.LittleEndian.Uint32(hash[16:]))
}

func (t *swarms) get(hash *[20]byte) *swarm {
	slots := t.slots.Load()
	if slots == nil {
		return nil
	}
	key, mask := keyOf(hash), uint64(len(*slots)-1)
	for i := key & mask; ; i = (i + 1) & mask {
		s := &(*slots)[i]
		sw := s.sw.Load()
		if sw == nil || s.key.Load() == key && sw.hash == *hash {
			return sw
		}
	}
}

// peek looks at what get will need, and no more. The value means nothing.
func (t *swarms) peek(hash *[20]byte) byte {
	if slots := t.slots.Load(); slots != nil {
		if sw := (*slots)[keyOf(hash)&uint64(len(*slots)-1)].sw.Load(); sw != nil {
			return sw.hash[0]
		}
	}
	return 0
}

// add puts in a swarm that is not there.
func (t *swarms) add(sw *swarm) {
	slots := t.slots.Load()
	switch {
	case slots == nil:
		slots = t.resize(nil, 8)
	case (t.n+1)*4 > len(*slots)*3:
		slots = t.resize(*slots, 2*len(*slots))
	}
	place(*slots, keyOf(&sw.hash), sw)
	t.n++
}

// resize makes a table of so many slots for the swarms of another. The other stays as it is: somebody may be looking at it.
func (t *swarms) resize(old []swarmSlot, size int) *[]swarmSlot {
	slots := make([]swarmSlot, size)
	for i := range old {
		if sw := old[i].sw.Load(); sw != nil {
			place(slots, old[i].key.Load(), sw)
		}
	}
	t.slots.Store(&slots)
	return &slots
}

func place(slots []swarmSlot, key uint64, sw *swarm) {
	mask := uint64(len(slots) - 1)
	i := key & mask
	for slots[i].sw.Load() != nil {
		i = (i + 1) & mask
	}
	slots[i].key.Store(key)
	slots[i].sw.Store(sw)
}

// retain keeps the swarms for which keep is true, and gives memory back when most are gone.
func (t *swarms) retain(keep func(*swarm) bool) {
	var kept []*swarm
	for sw := range t.all() {
		if keep(sw) {
			kept = append(kept, sw)
		}
	}
	if len(kept) == t.n {
		return
	}
	size := 8
	for len(kept)*2 > size {
		size *= 2
	}
	slots := t.resize(nil, size)
	for _, sw := range kept {
		place(*slots, keyOf(&sw.hash), sw)
	}
	t.n = len(kept)
}

func (t *swarms) all() iter.Seq[*swarm] {
	return func(yield func(*swarm) bool) {
		slots := t.slots.Load()
		if slots == nil {
			return
		}
		for i := range *slots {
			if sw := (*slots)[i].sw.Load(); sw != nil && !yield(sw) {
				return
			}
		}
	}
}
