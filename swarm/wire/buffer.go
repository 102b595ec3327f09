package wire

import "sync"

// buffer is a pooled block. There are two sizes: the 16 KiB that everybody speaks, and MaxBlock.
type buffer struct{ b []byte }

const smallBlock = 16 << 10

var (
	smallPool = sync.Pool{New: func() any { return &buffer{make([]byte, smallBlock)} }}
	largePool = sync.Pool{New: func() any { return &buffer{make([]byte, MaxBlock)} }}
)

func newBuffer(n int) *buffer {
	if n <= smallBlock {
		return smallPool.Get().(*buffer)
	}
	return largePool.Get().(*buffer)
}

func (b *buffer) release() {
	if len(b.b) == smallBlock {
		smallPool.Put(b)
	} else {
		largePool.Put(b)
	}
}

// Block lends a buffer of n ≤ [MaxBlock] bytes; call release when done with it.
func Block(n int) (b []byte, release func()) {
	buf := newBuffer(n)
	return buf.b[:n], buf.release
}
