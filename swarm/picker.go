package swarm

import "math/rand/v2"

// picker knows how rare each piece is and which are still to be begun. It answers "the rarest
// piece such that …" without looking at all of them: pieces to begin stand in one slice, sorted
// by how many sources hold them, and move between neighbouring groups as sources come and go.
// It does no I/O and is owned by the transfer's loop. Sources that have everything are not
// counted: they make no piece rarer than another.
type picker struct {
	rnd    *rand.Rand
	avail  []int32 // per piece: sources that hold it, without seeds
	order  []int32 // pieces to begin: those with avail 0, then 1, …
	pos    []int32 // per piece: its index in order, or -1
	ends   []int32 // ends[a]: where the group with avail a ends in order
	inTurn bool    // lowest index first instead of rarest first
	front  int     // no piece before this one is to be begun
}

func newPicker(pieces int, rnd *rand.Rand, inTurn bool) *picker {
	k := &picker{rnd: rnd, inTurn: inTurn}
	k.avail = make([]int32, pieces)
	k.pos = make([]int32, pieces)
	for i := range k.pos {
		k.pos[i] = -1
	}
	k.ends = []int32{0}
	return k
}

// left is how many pieces are to be begun.
func (k *picker) left() int { return len(k.order) }

// waits says whether piece p is to be begun.
func (k *picker) waits(p int) bool { return k.pos[p] >= 0 }

func (k *picker) swap(i, j int32) {
	a, b := k.order[i], k.order[j]
	k.order[i], k.order[j] = b, a
	k.pos[a], k.pos[b] = j, i
}

func (k *picker) start(a int32) int32 {
	if a == 0 {
		return 0
	}
	return k.ends[a-1]
}

func (k *picker) grow(a int32) {
	for int32(len(k.ends)) <= a {
		k.ends = append(k.ends, k.ends[len(k.ends)-1])
	}
}

// want puts p among the pieces to begin, at a random place among its equals.
func (k *picker) want(p int) {
	if k.pos[p] >= 0 {
		return
	}
	k.front = min(k.front, p)
	a := k.avail[p]
	k.grow(a)
	// Open a hole at the end of group a by moving the first of each later group to its end.
	at := int32(len(k.order))
	k.order = append(k.order, int32(p))
	for g := int32(len(k.ends)) - 1; g > a; g-- {
		first := k.start(g)
		if first != at {
			k.order[at] = k.order[first]
			k.pos[k.order[at]] = at
			at = first
		}
		k.ends[g]++
	}
	k.order[at] = int32(p)
	k.pos[p] = at
	k.ends[a]++
	first := k.start(a)
	k.swap(at, first+k.rnd.Int32N(k.ends[a]-first))
}

// begin takes p from the pieces to begin: it has been begun, is here, or is not wanted.
func (k *picker) begin(p int) {
	at := k.pos[p]
	if at < 0 {
		return
	}
	k.pos[p] = -1
	for g := k.avail[p]; g < int32(len(k.ends)); g++ {
		last := k.ends[g] - 1
		if last != at {
			k.order[at] = k.order[last]
			k.pos[k.order[at]] = at
			at = last
		}
		k.ends[g]--
	}
	k.order = k.order[:len(k.order)-1]
}

// gained and lost count a source that holds p.
func (k *picker) gained(p int) {
	a := k.avail[p]
	k.avail[p]++
	if at := k.pos[p]; at >= 0 {
		k.grow(a + 1)
		last := k.ends[a] - 1
		k.swap(at, last)
		k.ends[a]--
		first := k.ends[a]
		end := k.ends[a+1]
		k.swap(last, first+k.rnd.Int32N(end-first))
	}
}

func (k *picker) lost(p int) {
	a := k.avail[p]
	k.avail[p]--
	if at := k.pos[p]; at >= 0 {
		first := k.start(a)
		k.swap(at, first)
		k.ends[a-1]++
		lower := k.start(a - 1)
		k.swap(first, lower+k.rnd.Int32N(k.ends[a-1]-lower))
	}
}

// pick returns the rarest piece to begin that ok accepts, or -1. Equals come in random order.
func (k *picker) pick(ok func(p int) bool) int {
	if k.inTurn {
		for k.front < len(k.pos) && k.pos[k.front] < 0 {
			k.front++
		}
		for p := k.front; p < len(k.pos); p++ {
			if k.pos[p] >= 0 && ok(p) {
				return p
			}
		}
		return -1
	}
	for _, p := range k.order {
		if ok(int(p)) {
			return int(p)
		}
	}
	return -1
}
