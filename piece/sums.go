package piece

import (
	"sync"

	"shoal/internal/memory"
	"shoal/piece/internal/lanes"
)

// MaxSums is how many messages SumsSHA1 takes.
const MaxSums = lanes.Many

// sumStretch is how many bytes of each message are read at a time, at most: those of all of them lie in a core's own cache.
const sumStretch = 32 << 10

// stretch is sumStretch, or less for short messages: their content is small, and does not pay for buffers of 512 KiB.
func stretch(length int64) int { return int(min(sumStretch, max(length/4, 16<<10))) }

// sumBuffers are what messages are read into: fresh memory for each call cost a third of all page faults of a small fetch.
var sumBuffers = sync.Pool{New: func() any { return new([]byte) }}

// SumsSHA1 is the SHA-1 of n ≤ MaxSums messages of equal length, a multiple of 64, such as whole pieces. They are hashed side by side, which
// costs a quarter of one after the other where the processor can. read reads len(b) bytes of message i from off on; its error is returned.
func SumsSHA1(n int, length int64, read func(i int, b []byte, off int64) error) ([]Hash20, error) {
	var h lanes.SHA1s
	h.Reset()
	most := stretch(length)
	buf := sumBuffers.Get().(*[]byte)
	defer sumBuffers.Put(buf)
	if len(*buf) < MaxSums*most {
		*buf = memory.Buffer(MaxSums * most)
	}
	for at := int64(0); at < length; at += int64(most) {
		k := int(min(int64(most), length-at))
		var b [MaxSums][]byte
		for i := range b {
			if i >= n { // a lane without a message of its own
				b[i] = b[0]
				continue
			}
			b[i] = (*buf)[i*k:][:k]
			if err := read(i, b[i], at); err != nil {
				return nil, err
			}
		}
		h.Write(&b)
	}
	sums := h.Sums()
	all := make([]Hash20, n)
	for i := range all {
		all[i] = sums[i]
	}
	return all, nil
}
