package delta

// freshBytes are the new bytes of a section. They are decoded beside its ops, which are decoded from a code of their own: where much is new, each is about
// half of the work.
type freshBytes struct {
	buf   []byte           // used again by the next section
	parts chan decodedPart // has room for all of them: who decodes never waits
	part  []byte           // what is left of the present one
}

type decodedPart struct {
	b   []byte
	err error
}

const freshPart = 64 << 10

// decode begins with n bytes of another section. All that there were before must have been used, and end called.
func (f *freshBytes) decode(d *freshDecoder, n int) {
	if cap(f.buf) < n {
		f.buf = make([]byte, n)
	}
	buf := f.buf[:n]
	parts := make(chan decodedPart, n/freshPart+1)
	f.parts = parts
	go func() {
		defer close(parts)
		for len(buf) > 0 {
			b := buf[:min(freshPart, len(buf))]
			if _, err := d.Read(b); err != nil {
				parts <- decodedPart{err: err}
				return
			}
			parts <- decodedPart{b: b}
			buf = buf[len(b):]
		}
	}()
}

// next is the next bytes, at least one and at most n.
func (f *freshBytes) next(n int) ([]byte, error) {
	if len(f.part) == 0 && f.parts != nil {
		p := <-f.parts // the zero value after the last
		if p.err != nil {
			return nil, p.err
		}
		f.part = p.b
	}
	if len(f.part) == 0 {
		return nil, badf("more new bytes than the section has")
	}
	b := f.part[:min(n, len(f.part))]
	f.part = f.part[len(b):]
	return b, nil
}

// end checks that all were used.
func (f *freshBytes) end() error {
	if left := f.drain(); left > 0 {
		return badf("%d new bytes that nothing uses", left)
	}
	return nil
}

// drain waits for the end of the decoding, and returns how many bytes were not used.
func (f *freshBytes) drain() (left int) {
	left = len(f.part)
	f.part = nil
	if f.parts != nil {
		for p := range f.parts {
			left += len(p.b)
		}
		f.parts = nil
	}
	return left
}
