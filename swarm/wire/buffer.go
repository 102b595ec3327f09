package wire

import (
	"math/bits"
	"sync"

	"shoal/internal/memory"
)

// buffer is a pooled block: the 16 KiB that everybody speaks, or two, four, and so on times as long, up to MaxBlock.
type buffer struct {
	b    []byte
	pool *sync.Pool
}

const smallBlock = 16 << 10

// pools are for blocks of up to smallBlock << i bytes.
var pools [4]sync.Pool

const _ uint = smallBlock<<(len(pools)-1) - MaxBlock // the last one is long enough

func newBuffer(n int) *buffer {
	i := bits.Len(uint(max(n-1, 0)) / smallBlock)
	if b, ok := pools[i].Get().(*buffer); ok {
		return b
	}
	return &buffer{memory.Buffer(smallBlock << i), &pools[i]}
}

func (b *buffer) release() { b.pool.Put(b) }

// Block lends a buffer of n ≤ [MaxBlock] bytes; call release when done with it.
func Block(n int) (b []byte, release func()) {
	buf := newBuffer(n)
	return buf.b[:n], buf.release
}
