package delta

import "context"

// newBytes are the new bytes of all sections. They are decoded beside the ops, from a code of their own: where much is new, each is about half of the work.
type newBytes struct {
	sections chan textSection // taken when the one before is decoded; nil before the first
	parts    chan textPart
	part     []byte    // what is left of the present one
	code     [2][]byte // of the present section and the next one
	turn     int       // which of them is the next one's
}

type textSection struct {
	code   []byte
	stored bool
	n      int // bytes that it makes
}

type textPart struct {
	b   []byte
	err error
}

const (
	partText  = 64 << 10
	textParts = 8 // that wait
)

// start begins to decode, until ctx is done.
func (t *newBytes) start(ctx context.Context) {
	t.sections, t.parts = make(chan textSection), make(chan textPart, textParts)
	go func() {
		defer close(t.parts)
		d := newFreshDecoder()
		var bufs [textParts + 2][]byte // one in use at either end
		for i := 0; ; {
			var s textSection
			select {
			case s = <-t.sections:
			case <-ctx.Done():
				return
			}
			d.section(s.code, s.stored, s.n)
			for ; s.n > 0; i++ {
				b := &bufs[i%len(bufs)]
				if *b == nil {
					*b = make([]byte, partText)
				}
				p := textPart{b: (*b)[:min(partText, s.n)]}
				_, p.err = d.Read(p.b)
				select {
				case t.parts <- p:
				case <-ctx.Done():
					return
				}
				if p.err != nil {
					return
				}
				s.n -= len(p.b)
			}
		}
	}()
}

// section goes on with a section whose code comes next from r, and has so many bytes.
func (t *newBytes) section(ctx context.Context, r *byteReader, code int, s textSection) error {
	buf := &t.code[t.turn]
	t.turn = 1 - t.turn
	if err := r.fill(buf, code); err != nil {
		return err
	}
	if t.sections == nil {
		t.start(ctx)
	}
	s.code = *buf
	select {
	case t.sections <- s:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// read fills b. Sections with as many bytes must have been begun.
func (t *newBytes) read(ctx context.Context, b []byte) error {
	for len(b) > 0 {
		if len(t.part) == 0 {
			select {
			case p := <-t.parts:
				if p.err != nil {
					return p.err
				}
				t.part = p.b
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		n := copy(b, t.part)
		t.part, b = t.part[n:], b[n:]
	}
	return nil
}

// wait waits until nothing is decoded any more, after ctx is done.
func (t *newBytes) wait() {
	if t.parts != nil {
		for range t.parts {
		}
	}
}
