package swarm

import (
	"sync"
	"sync/atomic"

	"shoal/swarm/wire"
)

// outbox is what is to be written to a connection: control messages, which go first, and blocks.
// Putting in never blocks. Blocks are bounded by those who put them in; a peer that lets control
// messages pile up, by not reading the answers to its own, is left.
type outbox struct {
	notify   chan struct{}
	wake     func() // instead of notify, if set
	overflow func() // called once too much lies here
	pieces   atomic.Int64

	mu      sync.Mutex
	control []byte
	spare   []byte
	lazy    []func(b []byte) []byte
	blocks  []upRequest
}

// maxUnsent is how many bytes of control messages may wait for a peer, besides HAVEs of all pieces.
const maxUnsent = 256 << 10

// maxLazy is how many answers may wait to be made for a peer.
const maxLazy = 4096

// upRequest is content that a peer has asked for.
type upRequest struct {
	piece, begin, length uint32
	at                   int64 // order of arrival
}

func (o *outbox) poke() {
	if o.wake != nil {
		o.wake()
		return
	}
	select {
	case o.notify <- struct{}{}:
	default:
	}
}

// put appends control messages through f, if any: the writers of all peers would else wake for each piece that is here.
func (o *outbox) put(f func(b []byte) []byte) {
	o.mu.Lock()
	before := len(o.control)
	o.control = f(o.control)
	more := len(o.control) > before
	full := int64(len(o.control)) > maxUnsent+32*o.pieces.Load()
	o.mu.Unlock()
	if full {
		o.overflow()
	}
	if more {
		o.poke()
	}
}

// later has the writer append an answer when it gets to it, ahead of blocks: what is long or has
// to be computed takes no memory while the peer does not read.
func (o *outbox) later(f func(b []byte) []byte) {
	o.mu.Lock()
	o.lazy = append(o.lazy, f)
	full := len(o.lazy) > maxLazy
	o.mu.Unlock()
	if full {
		o.overflow()
	}
	o.poke()
}

// nextLazy takes the next answer that is still to be made.
func (o *outbox) nextLazy() func(b []byte) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.lazy) == 0 {
		return nil
	}
	f := o.lazy[0]
	o.lazy[0] = nil
	o.lazy = o.lazy[1:]
	return f
}

// lazyLen is how many answers are still to be made.
func (o *outbox) lazyLen() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.lazy)
}

func (o *outbox) plain(t wire.Type) {
	o.put(func(b []byte) []byte { return wire.AppendPlain(b, t) })
}

func (o *outbox) keepAlive() { o.put(wire.AppendKeepAlive) }

func (o *outbox) span(t wire.Type, piece, begin, length int64) {
	o.put(func(b []byte) []byte { return wire.AppendSpan(b, t, uint32(piece), uint32(begin), uint32(length)) })
}

func (o *outbox) block(r upRequest) {
	o.mu.Lock()
	o.blocks = append(o.blocks, r)
	o.mu.Unlock()
	o.poke()
}

// unblock takes a block back that the writer has not got to.
func (o *outbox) unblock(r upRequest) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, b := range o.blocks {
		if b.piece == r.piece && b.begin == r.begin && b.length == r.length {
			o.blocks = append(o.blocks[:i], o.blocks[i+1:]...)
			return true
		}
	}
	return false
}

// take empties the outbox: all control messages, and blocks up to about most bytes.
func (o *outbox) take(most int64) (control []byte, blocks []upRequest) {
	o.mu.Lock()
	defer o.mu.Unlock()
	control, o.control, o.spare = o.control, o.spare[:0], o.control
	n := 0
	for ; n < len(o.blocks) && most > 0; n++ {
		most -= int64(o.blocks[n].length)
	}
	blocks = append(blocks, o.blocks[:n]...)
	o.blocks = append(o.blocks[:0], o.blocks[n:]...)
	return control, blocks
}
