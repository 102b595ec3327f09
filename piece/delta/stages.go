package delta

import (
	"context"
	"io"
)

// Apply works in stages beside each other. A decoder reads the patch; the old bytes that its ops copy are read; a corrector makes new bytes of them; and who
// called Apply hands them to the sink. The new bytes of ops have a decoder of their own. Batches go from stage to stage, and around.

const (
	batchBytes  = 64 << 10 // copyBytes at least
	mostBatches = 6
)

// A batch is the next bytes of one file.
type batch struct {
	data        []byte
	whole       bool     // the file ends here
	copies      []window // in data, in order; the rest is new bytes
	differences []difference
}

// A window is a part of a copy that is corrected at a time.
type window struct {
	from, to    int // in data
	place           // of the old bytes that are there
	differences int // of the batch, up to its end
}

// A difference is by how much a byte differs from the old one, after that was corrected: in its lowest 8 bits. Above is where, in data.
type difference uint32

func differs(at int, by byte) difference { return difference(at)<<8 | difference(by) }

func (d difference) at() int  { return int(d >> 8) }
func (d difference) by() byte { return byte(d) }

// stages are between a decoder and who takes what it makes. Each channel has room for all batches.
type stages struct {
	decoded, read, made, free chan *batch
	begun                     int   // batches that there are; the decoder's
	err                       error // what the decoder or reading ended with, once made is closed
	stop                      context.CancelFunc
}

// newStages begins to make files.
func newStages(ctx context.Context, r *byteReader, old source, files []filePlan) *stages {
	s := &stages{}
	for _, c := range []*chan *batch{&s.decoded, &s.read, &s.made, &s.free} {
		*c = make(chan *batch, mostBatches)
	}
	ctx, s.stop = context.WithCancel(ctx)
	var decoded error
	go func() {
		defer close(s.decoded)
		d := decoder{r: r, old: old, stages: s}
		decoded = d.run(ctx, files)
	}()
	go func() {
		defer close(s.read)
		for b := range s.decoded {
			if s.err = b.read(old); s.err != nil {
				s.stop()
				for range s.decoded { // until it has stopped
				}
				return
			}
			s.read <- b
		}
		s.err = decoded
	}()
	go func() {
		defer close(s.made)
		var refs references
		for b := range s.read {
			refs.correctBatch(b)
			s.made <- b
		}
	}()
	return s
}

// read reads the old bytes of a batch.
func (b *batch) read(old source) error {
	for _, w := range b.copies {
		if err := old.read(b.data[w.from:w.to], w.pos); err != nil {
			return err
		}
	}
	return nil
}

// empty is a batch that is free.
func (s *stages) empty(ctx context.Context) (*batch, error) {
	if s.begun < mostBatches {
		select {
		case b := <-s.free:
			return b, nil
		default:
			s.begun++
			return &batch{data: make([]byte, 0, batchBytes)}, nil
		}
	}
	select {
	case b := <-s.free:
		return b, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// next is the next batch. After the last one it is nil, with what the decoder ended with.
func (s *stages) next(ctx context.Context) (*batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case b, ok := <-s.made:
		if !ok {
			return nil, s.err
		}
		return b, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// write gives w the next file.
func (s *stages) write(ctx context.Context, w io.Writer) error {
	for {
		b, err := s.next(ctx)
		if err != nil {
			return err
		}
		if _, err := w.Write(b.data); err != nil {
			return err
		}
		whole := b.whole
		s.done(b)
		if whole {
			return nil
		}
	}
}

// done takes a batch back.
func (s *stages) done(b *batch) {
	*b = batch{data: b.data[:0], copies: b.copies[:0], differences: b.differences[:0]}
	s.free <- b
}

// close stops all, and waits until it has stopped.
func (s *stages) close() {
	s.stop()
	for range s.made {
	}
}
