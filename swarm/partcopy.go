package swarm

import (
	"context"
	"errors"
	"os"

	"shoal/internal/disk"
)

// Copy makes a file out of another one that seems to have what it should have, or its beginning. Where the file system can, the two share their blocks, and
// no data moves. As with Create, what is right of it counts, and Has tells whether that is all; that src cannot be read is no error either.
func (p *Parts) Copy(ctx context.Context, file int, src *os.File) error {
	w, err := p.Create(file)
	if err != nil {
		return err
	}
	length := p.store.info.Files[file].Length
	if !p.copies.Load() {
		st, err := src.Stat()
		if err != nil {
			return nil
		}
		length = min(length, st.Size())
		h, err := p.store.files.get(file, true)
		if err != nil {
			return err
		}
		defer p.store.files.put(h)
		w.touched = length
		shared, err := disk.Clone(ctx, h.f, src, 0, 0, length)
		if disk.IsNoSpace(err) {
			return errors.Join(err, w.abandon())
		}
		p.copies.Store(!shared) // the next are read and written, which hashes them on the way
		if err == nil {
			src, w.written = h.f, length // it may change meanwhile: what counts is the copy
		}
	}
	for w.failed == nil && w.at+int64(len(w.buf)) < length {
		if err := ctx.Err(); err != nil {
			return errors.Join(err, w.abandon())
		}
		at := len(w.buf)
		n, err := src.ReadAt(w.buf[at:min(int64(cap(w.buf)), length-w.at)], w.at+int64(at))
		if w.buf = w.buf[:at+n]; len(w.buf) == cap(w.buf) {
			w.flush()
		}
		if err != nil {
			break
		}
	}
	return w.Close()
}
