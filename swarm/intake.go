package swarm

import (
	"sync"

	"shoal/swarm/wire"
)

// intake checks, writes and reports the blocks of a connection. Those of a fast neighbour are long, and are seen to
// beside its reader, which reads the next ones meanwhile: hashing and writing one takes several times as long as reading it.
type intake struct {
	c      *conn
	blocks chan block // nil until there is a long one
	takers int        // goroutines that take from it
	wg     sync.WaitGroup
}

// block is content that was asked for and is here.
type block struct {
	q *request
	m wire.Message
}

const (
	// longBlock is from how many bytes on a block is worth another goroutine.
	longBlock = wire.MaxBlock / 2
	// mostTakers is how many blocks of a connection are seen to at once.
	mostTakers = 2
)

func newIntake(c *conn) *intake { return &intake{c: c} }

// take sees to a block, whose message is its own from now on; or waits until an earlier one has been seen to.
func (in *intake) take(b block) error {
	if len(b.m.Payload) < longBlock {
		return in.finish(b)
	}
	if in.blocks == nil {
		in.blocks = make(chan block)
	}
	select {
	case in.blocks <- b:
		return nil
	default:
	}
	if in.takers < mostTakers {
		in.takers++
		in.wg.Go(func() {
			for b := range in.blocks {
				in.finish(b) // an error is that the session has ended, which the reader sees too
			}
		})
	}
	in.blocks <- b
	return nil
}

// close waits for the last block.
func (in *intake) close() {
	if in.blocks != nil {
		close(in.blocks)
	}
	in.wg.Wait()
}

func (in *intake) finish(b block) error {
	s, c := in.c.s, in.c
	r := s.ingest(b.q.op, b.q.begin, b.m.Payload)
	b.m.Release()
	if !s.do(func() { s.arrived(c, b.q, r) }) {
		return errClosed
	}
	return nil
}
