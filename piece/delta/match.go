package delta

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/bits"
	"sync"
	"time"
)

// An op makes the next bytes of the new content: copied from the old content at pos, with differences, and then extra ones that are new.
type op struct {
	pos         int64 // where the copy begins; of no meaning if copied is 0
	copied, new int   // bytes
}

// index finds bytes in old content. It is safe for concurrent use.
type index struct {
	old    []byte
	sketch sketch

	once   sync.Once     // before something is looked for
	ready  chan struct{} // closed when what follows is there
	err    error
	sorted []int32 // the suffix array of old
	first  []int32 // where suffixes begin that start with these two bytes or later ones; 65537 entries
	grams  grams
}

func newIndex(old []byte) *index {
	return &index{old: old, sketch: newSketch(old), ready: make(chan struct{})}
}

// aliveTime is how often who waits for a sort says so.
const aliveTime = time.Second

// sort makes that longest can be asked, and calls alive now and then meanwhile. Old content of 100 MB takes many seconds, and the standard library's
// sort cannot be stopped: once ctx is done nobody waits for it, and what it makes is forgotten.
func (x *index) sort(ctx context.Context, alive func()) error {
	x.once.Do(func() {
		go func() {
			defer close(x.ready)
			x.err = x.build()
		}()
	})
	tick := time.NewTicker(aliveTime)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-x.ready:
			return x.err
		case <-tick.C:
			alive()
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

func (x *index) build() (err error) {
	if x.sorted, err = suffixArray(x.old); err != nil {
		return err
	}
	// A suffix of one byte sorts before those with that byte and another; it is counted with the pair whose second byte is 0, where it is
	// the first and does no harm.
	x.first = make([]int32, 1<<16+1)
	for i := range x.old {
		x.first[x.pair(i)+1]++
	}
	for i := range 1 << 16 {
		x.first[i+1] += x.first[i]
	}
	x.grams = newGrams(x.old)
	return nil
}

func (x *index) pair(i int) int {
	p := int(x.old[i]) << 8
	if i+1 < len(x.old) {
		p |= int(x.old[i+1])
	}
	return p
}

// longest is the place in old that has the most bytes in common with the beginning of b.
func (x *index) longest(b []byte) (pos, n int) {
	if len(b) < 2 {
		return 0, 0
	}
	p := int(b[0])<<8 | int(b[1])
	low, high := int(x.first[p]), int(x.first[p+1])
	// All suffixes before low are smaller than b, all from high on are larger. What is between two suffixes shares with b what both do.
	nLow, nHigh := 0, 0
	posLow, posHigh := 0, 0
	for low < high {
		mid := int(uint(low+high) >> 1)
		at := int(x.sorted[mid])
		skip := min(nLow, nHigh)
		common := skip + commonPrefix(x.old[at+skip:], b[skip:])
		switch {
		case common == len(b):
			return at, common
		case at+common == len(x.old) || x.old[at+common] < b[common]:
			low, nLow, posLow = mid+1, common, at
		default:
			high, nHigh, posHigh = mid, common, at
		}
	}
	if nLow > nHigh {
		return posLow, nLow
	}
	return posHigh, nHigh
}

// commonPrefix is how many bytes a and b begin with in common.
func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for ; i+8 <= n; i += 8 {
		if x := binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:]); x != 0 {
			return i + bits.TrailingZeros64(x)>>3
		}
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}

// unequal is how many bytes of b differ from those that old begins with, which is as long.
func unequal(old, b []byte) (n int) {
	for len(b) > 0 {
		same := commonPrefix(old, b)
		if same < len(b) {
			n++
			same++
		}
		old, b = old[same:], b[same:]
	}
	return n
}

const (
	gain    = 8  // bytes that another place must have in common beyond those that the present one has, to be worth an op
	onTrack = 24 // bytes in common at the present place with which no better one is looked for

	missesPerStep = 64 // places without a better one until one more is passed over at a time; then twice as many, and so on
)

// match describes b by ops on x.old, as bsdiff does (C. Percival, "Naive differences of executable code", 2003): it looks for places that have much in
// common with b, and extends them in both directions as long as more than half of the bytes agree. expect is where the first op may begin at no cost.
// emit gets the ops in order; their lengths sum up to len(b), and none is empty. alive is called while nothing is found because old content is sorted first.
func (x *index) match(ctx context.Context, b []byte, expect int, alive func(), emit func(op)) error {
	if len(b) == 0 {
		return nil
	}
	if bytes.Equal(b, x.old[min(expect, len(x.old)):min(expect+len(b), len(x.old))]) {
		emit(op{pos: int64(expect), copied: len(b)})
		return nil
	}
	known, all := x.sketch.known(b)
	if nearly(known, all) {
		var ops []op
		changed, at := 0, 0
		x.scan(b, expect, false, func(o op) {
			ops = append(ops, o)
			changed += o.new + unequal(x.old[o.pos:], b[at:at+o.copied])
			at += o.copied + o.new
		})
		if changed <= len(b)/nearlyChanged {
			for _, o := range ops {
				emit(o)
			}
			return nil
		}
	}
	sorted := alike(known, all)
	if sorted {
		if err := x.sort(ctx, alive); err != nil {
			return err
		}
	}
	x.scan(b, expect, sorted, emit)
	return nil
}

// scan is match, with what is sorted or with the sketch.
func (x *index) scan(b []byte, expect int, sorted bool, emit func(op)) {
	var (
		old      = x.old
		scan, n  int
		pos      int
		lastScan = 0
		lastPos  = expect
		shift    = expect // of the present place: old[i+shift] is beside b[i]
	)
	agrees := func(i int) bool { return i+shift >= 0 && i+shift < len(old) && old[i+shift] == b[i] }
	misses := 0 // places of late from which nothing better was found
	for scan < len(b) {
		score := 0 // how many of the n bytes agree at the present place as well
		scan += n
		for scored := scan; scan < len(b); {
			if at := scan + shift; at >= 0 && at < len(old) {
				if c := commonPrefix(old[at:], b[scan:]); c >= onTrack || c > 0 && scan+c == len(b) {
					pos, n, score = at, c, c
					break
				}
			}
			if pos, n = 0, 0; !sorted {
				pos, n = x.sketch.longest(old, b[scan:])
			} else if x.grams.mayHave(b[scan:]) {
				pos, n = x.longest(b[scan:])
			}
			for ; scored < scan+max(n, 1); scored++ {
				if agrees(scored) {
					score++
				}
			}
			if n > 0 && (n == score || n > score+gain) {
				misses = 0
				break
			}
			// What is better reaches farther than these n bytes, so it is met behind them as well, and begins where it begins. Where nothing is found for
			// long, more and more is passed over.
			if sorted {
				misses++
			}
			for next := min(scan+n+1+bits.Len(uint(misses/missesPerStep)), len(b)); scan < next; scan++ {
				if scan >= scored {
					scored = scan + 1
				} else if agrees(scan) {
					score--
				}
			}
		}
		if n == score && scan < len(b) {
			continue // still the present place
		}
		forward := extendForward(old, lastPos, b[lastScan:scan])
		backward := 0
		if scan < len(b) {
			backward = extendBackward(old[:pos], b[lastScan:scan])
		}
		if overlap := lastScan + forward - (scan - backward); overlap > 0 {
			keep := splitOverlap(b[lastScan+forward-overlap:][:overlap], old[lastPos+forward-overlap:], old[pos-backward:])
			forward += keep - overlap
			backward -= keep
		}
		o := op{pos: int64(lastPos), copied: forward, new: scan - backward - (lastScan + forward)}
		if o.copied+o.new > 0 {
			emit(o)
		}
		lastScan, lastPos, shift = scan-backward, pos-backward, pos-scan
	}
}

// extendForward is how much of b to copy from old[pos:], so that bytes that agree outweigh the others most.
func extendForward(old []byte, pos int, b []byte) (length int) {
	agree, best := 0, 0
	for i := range min(len(b), max(len(old)-pos, 0)) {
		if old[pos+i] == b[i] {
			agree++
		}
		if s := 2*agree - (i + 1); s > best {
			best, length = s, i+1
		}
	}
	return length
}

// extendBackward is how much of the end of b to copy from the end of old.
func extendBackward(old, b []byte) (length int) {
	agree, best := 0, 0
	for i := 1; i <= min(len(old), len(b)); i++ {
		if old[len(old)-i] == b[len(b)-i] {
			agree++
		}
		if s := 2*agree - i; s > best {
			best, length = s, i
		}
	}
	return length
}

// splitOverlap is how many bytes of b to take from before, and the rest from after, so that most agree.
func splitOverlap(b, before, after []byte) (keep int) {
	s, best := 0, 0
	for i, c := range b {
		if before[i] == c {
			s++
		}
		if after[i] == c {
			s--
		}
		if s > best {
			best, keep = s, i+1
		}
	}
	return keep
}
