package delta

import (
	"encoding/binary"
	"math/bits"
)

// The new bytes of all sections follow each other as one text, and are coded as literals and as repeats of what came before in this text, like in LZMA
// (I. Pavlov): a repeat is at a distance, or at one of the last four distances. Machine code in small amounts is where zstd loses most: esbuild's
// 153 kB of it take 109 kB from klauspost's best level, 83 kB from zstd -19, 70 kB from xz -9. What does not become shorter is stored as it is: nothing
// is learned of it, but later bytes may repeat it.

const (
	freshWindow = 8 << 20 // the longest distance
	minRepeat   = 2
	lastRepeats = 4
)

// freshCodec is what is learned of the new bytes.
type freshCodec struct {
	symbols  [3]nibble // by what was before
	lengths  [2]numberModel
	distance [4]numberModel
	literals [3 * 256]byteModel // by what was before, and by the byte before, or the one that a repeat did not go on with

	kind byte // of the last symbol: 0 literal, 1 repeat, 2 at a last distance
	last [lastRepeats]int
}

func newFreshCodec() *freshCodec { return &freshCodec{last: [lastRepeats]int{1, 2, 3, 4}} }

// used moves a distance to the front of the last ones.
func (c *freshCodec) used(distance int) {
	c.kind = 1
	i := 0
	for i < lastRepeats-1 && c.last[i] != distance {
		i++
	}
	if c.last[i] == distance {
		c.kind = 2
	}
	copy(c.last[1:i+1], c.last[:i])
	c.last[0] = distance
}

// find is the index of a distance among the last ones, or -1.
func (c *freshCodec) find(distance int) int {
	for i, d := range c.last {
		if d == distance {
			return i
		}
	}
	return -1
}

// What comes next.
const (
	aLiteral = iota
	aRepeat  // at another distance than the last ones
	lastRepeat
)

func (c *freshCodec) literal(near byte) *byteModel { return &c.literals[int(c.kind)<<8|int(near)] }

// near is how far back the byte is that tells most of a literal: after a repeat the one with which it would have gone on, which the literal is not.
func (c *freshCodec) near() int {
	if c.kind > 0 {
		return c.last[0]
	}
	return 1
}

func (c *freshCodec) distances(length int) *numberModel {
	return &c.distance[min(length-minRepeat, 3)]
}

// freshEncoder codes the new bytes of a section after the other.
type freshEncoder struct {
	codec  *freshCodec
	text   []byte // what repeats can be found in, and behind coded what is to be coded
	coded  int
	finder repeatFinder
	ans    ansEncoder
}

func (f *freshEncoder) add(b []byte) { f.text = append(f.text, b...) }

// pending is how many bytes are to be coded.
func (f *freshEncoder) pending() int { return len(f.text) - f.coded }

// flush returns the code of what was added, or if that is shorter what was added itself, which is the caller's until the next add.
func (f *freshEncoder) flush() (code []byte, stored bool) {
	if f.pending() == 0 {
		return nil, false
	}
	if f.codec == nil {
		f.codec = newFreshCodec()
	}
	if f.coded >= 2*freshWindow {
		f.text = append(f.text[:0], f.text[freshWindow:]...)
		f.coded -= freshWindow
		f.finder.forget()
	}
	f.finder.grow(f.text)
	before := *f.codec
	f.ans.reset()
	f.encode(&f.ans)
	added := f.text[f.coded:]
	f.coded = len(f.text)
	if code = f.ans.finish(); len(code) < len(added) {
		return code, false
	}
	*f.codec = before
	return added, true
}

const (
	dryLiterals = 32  // of late, from which on only every second place is looked at, and with twice as many every fourth, and so on
	driest      = 511 // every sixteenth; only these are entered
	wetRepeat   = 16  // literals that a byte of a repeat is set against
)

// encode codes the text from coded on.
func (f *freshEncoder) encode(e *ansEncoder) {
	b, c, at := f.text, f.codec, f.coded
	r := f.finder.best(c, at)
	dry := 0 // literals of late
	for at < len(b) {
		// Noise is looked at here and there: a repeat that is worth something is met, and goes back to where it begins.
		to := at + 1
		if r.length == 0 && dry >= dryLiterals {
			to = f.finder.pass(to, dry)
		}
		var next repeat
		if r.length < goodRepeat && to < len(b) {
			next = f.finder.best(c, to)
		}
		// One literal more is worth it if it leads to a longer repeat.
		if r.length == 0 || next.worth > r.worth+1 {
			for next.length > 0 && to > at+1 && to > next.distance && b[to-1] == b[to-1-next.distance] {
				to--
				next.length++
			}
			dry = min(dry+to-at, driest)
			for ; at < to; at++ {
				var near byte
				if back := c.near(); back <= at {
					near = b[at-back]
				}
				e.nibble(&c.symbols[c.kind], aLiteral, quick)
				c.literal(near).encode(e, b[at], slow)
				c.kind = 0
			}
			r = next
			continue
		}
		if i := c.find(r.distance); i >= 0 {
			e.nibble(&c.symbols[c.kind], uint32(lastRepeat+i), quick)
			c.lengths[1].encode(e, uint64(r.length-minRepeat))
		} else {
			e.nibble(&c.symbols[c.kind], aRepeat, quick)
			c.lengths[0].encode(e, uint64(r.length-minRepeat))
			c.distances(r.length).encode(e, uint64(r.distance-1))
		}
		c.used(r.distance)
		dry = max(dry-wetRepeat*r.length, 0)
		if at += r.length; at < len(b) {
			r = f.finder.best(c, at)
		}
	}
}

// A repeat of bytes that came before.
type repeat struct{ length, distance, worth int }

// repeatFinder finds repeats with a hash of four bytes and chains of their places, and a hash of three bytes for the last place alone.
type repeatFinder struct {
	b       []byte
	shift   int // of hashes of three bytes
	shift4  int // of four: there are about as many as places, or chains of noise would be long
	entered int // places before this one can be found
	three   []int32
	four    []int32
	before  []int32 // a ring by place: the place before with the same hash of four bytes; places count from 1, 0 is none
}

const (
	repeatDepth = 32 // places looked at
	goodRepeat  = 96 // bytes with which no better one is looked for
)

// grow goes on with a text that is longer.
func (f *repeatFinder) grow(b []byte) {
	f.b = b
	if log := min(max(bits.Len(uint(len(b))), 8), 22); len(f.four) < 1<<log {
		log3 := min(log, 20)
		*f = repeatFinder{b: b, shift: 32 - log3, shift4: 32 - log, three: make([]int32, 1<<log3), four: make([]int32, 1<<log), before: f.before}
	}
	if ring := min(1<<bits.Len(uint(len(b))), freshWindow); len(f.before) < ring {
		f.before = append(make([]int32, 0, ring), f.before...)[:ring]
	}
}

// forget goes on with a text without its first freshWindow bytes; as long is the ring.
func (f *repeatFinder) forget() {
	for _, places := range [][]int32{f.three, f.four, f.before} {
		for i, place := range places {
			places[i] = max(place-freshWindow, 0)
		}
	}
	f.entered -= freshWindow
}

func (f *repeatFinder) chain(place int) *int32 { return &f.before[place&(len(f.before)-1)] }

func (f *repeatFinder) hashThree(b []byte) uint32 {
	return (uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16) * 506832829 >> f.shift
}

func (f *repeatFinder) hashFour(b []byte) uint32 {
	return binary.LittleEndian.Uint32(b) * 2654435761 >> f.shift4
}

// advance makes places before at known.
func (f *repeatFinder) advance(at int) {
	for ; f.entered < at && f.entered+4 <= len(f.b); f.entered++ {
		b := f.b[f.entered:]
		f.three[f.hashThree(b)] = int32(f.entered + 1)
		h := f.hashFour(b)
		*f.chain(f.entered) = f.four[h]
		f.four[h] = int32(f.entered + 1)
	}
}

// pass is the place to look at next, from one on, after so many literals. Their own hashes say which these are, so that bytes that come again are met if they were
// passed over before.
func (f *repeatFinder) pass(from, dry int) (to int) {
	log := bits.Len(uint(dry / dryLiterals))
	for to = from; to+4 <= len(f.b) && to < from+2<<log && f.hashFour(f.b[to:])&(1<<log-1) != 0; to++ {
	}
	if dry == driest {
		f.advance(from)
		f.entered = max(f.entered, to)
	}
	return to
}

// best is the repeat at a place that saves most, by estimate; its length is 0 if none does. What is in between is entered.
func (f *repeatFinder) best(c *freshCodec, at int) (best repeat) {
	f.advance(at)
	b := f.b[at:]
	// try takes the place if it saves more. Of those on a chain the next is farther, and saves more only if it is longer.
	try := func(place, price int) {
		n := commonPrefix(f.b[place:], b)
		if w := worth(n) - price; n >= minRepeat && w > best.worth {
			best = repeat{n, at - place, w}
		}
	}
	for _, d := range c.last {
		if d <= at {
			try(at-d, 6)
		}
	}
	if len(b) < 4 || best.length >= goodRepeat {
		return best
	}
	if p := int(f.three[f.hashThree(b)]) - 1; p >= 0 && p < at && at-p <= freshWindow {
		try(p, distancePrice(at-p))
	}
	p := int(f.four[f.hashFour(b)]) - 1
	for p >= at { // known from when it was passed over
		p = int(*f.chain(p)) - 1
	}
	for range repeatDepth {
		if p < 0 || at-p > freshWindow || best.length >= min(goodRepeat, len(b)) {
			break
		}
		if n := max(best.length, 3); n < len(b) && binary.LittleEndian.Uint32(f.b[p+n-3:]) == binary.LittleEndian.Uint32(b[n-3:]) { // what is longer has these as well
			try(p, distancePrice(at-p))
		}
		p = int(*f.chain(p)) - 1
	}
	return best
}

// worth is about how many bits n literals take; prices are in bits as well.
func worth(n int) int { return 6 * n }

func distancePrice(distance int) int { return 9 + bits.Len(uint(distance)) }

// freshDecoder is a reader of what a freshEncoder coded. Any code is endless text; what is stored is not.
type freshDecoder struct {
	d      *ansDecoder
	stored []byte // if d is nil
	c      *freshCodec
	window []byte // a ring, as long as a power of two
	at     int    // in the text
	length int    // of a repeat that is not read to its end, at the last distance
}

func newFreshDecoder() *freshDecoder { return &freshDecoder{c: newFreshCodec()} }

// section goes on with the code of another section, which makes n bytes. The window grows with the text: most patches have little of it.
func (f *freshDecoder) section(code []byte, stored bool, n int) {
	if most := min(f.at+n, freshWindow); most > len(f.window) {
		f.window = append(make([]byte, 0, 1<<bits.Len(uint(most-1))), f.window...)
		f.window = f.window[:cap(f.window)]
	}
	f.d, f.stored, f.length = nil, code, 0
	if !stored {
		f.d = newANSDecoder(code)
	}
}

// Read fills p; it fails if a repeat is at a distance where nothing is, or less is stored.
func (f *freshDecoder) Read(p []byte) (int, error) {
	if f.d == nil {
		return f.readStored(p)
	}
	n := 0
	for n < len(p) {
		if f.length > 0 {
			n += f.again(p[n:])
			continue
		}
		if symbol := f.d.nibble(&f.c.symbols[f.c.kind], quick); symbol != aLiteral {
			if err := f.repeat(int(symbol)); err != nil {
				return n, err
			}
			continue
		}
		b := f.c.literal(f.back(f.c.near())).decode(f.d, slow)
		f.c.kind = 0
		f.window[f.at&(len(f.window)-1)] = b
		f.at++
		p[n] = b
		n++
	}
	return n, nil
}

func (f *freshDecoder) readStored(p []byte) (int, error) {
	n := copy(p, f.stored)
	f.stored = f.stored[n:]
	for b := p[:n]; len(b) > 0; {
		m := copy(f.window[f.at&(len(f.window)-1):], b)
		b, f.at = b[m:], f.at+m
	}
	if n < len(p) {
		return n, badf("%d of its new bytes are missing", len(p)-n)
	}
	return n, nil
}

// back is the byte that is so far back, 0 if there is none.
func (f *freshDecoder) back(n int) byte {
	if n > f.at {
		return 0
	}
	return f.window[(f.at-n)&(len(f.window)-1)]
}

// again repeats as much as fits in p.
func (f *freshDecoder) again(p []byte) int {
	last := len(f.window) - 1
	p = p[:min(f.length, len(p))]
	from, to := f.at-f.c.last[0], f.at
	for i := range p {
		b := f.window[(from+i)&last]
		f.window[(to+i)&last] = b
		p[i] = b
	}
	f.at += len(p)
	f.length -= len(p)
	return len(p)
}

// repeat decodes the rest of a repeat.
func (f *freshDecoder) repeat(symbol int) error {
	c := f.c
	var distance, length uint64
	if symbol >= lastRepeat {
		distance = uint64(c.last[min(symbol-lastRepeat, lastRepeats-1)])
		length = c.lengths[1].decode(f.d) + minRepeat
	} else {
		length = c.lengths[0].decode(f.d) + minRepeat
		distance = c.distances(int(min(length, freshWindow))).decode(f.d) + 1
	}
	if distance > uint64(min(f.at, len(f.window))) || length > uint64(1<<40) {
		return badf("%d bytes at a distance of %d repeated after %d", length, distance, f.at)
	}
	c.used(int(distance))
	f.length = int(length)
	return nil
}
