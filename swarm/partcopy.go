package swarm

import (
	"context"
	"errors"
	"os"

	"shoal/internal/disk"
)

// Copy makes a file out of another one that seems to have what it should have, or its beginning. Where the file system can, the two share their blocks, and
// no data moves. As with Create, what is right of it counts, and Has tells whether that is all; that src cannot be read is no error either. Pieces of it that
// are here already stay as they are.
func (p *Parts) Copy(ctx context.Context, file int, src *os.File) error {
	w, err := p.Create(file)
	if err != nil {
		return err
	}
	length := p.store.info.Files[file].Length
	read := src.ReadAt
	keeps, err := p.keeps(file)
	if err != nil {
		return errors.Join(err, w.abandon())
	}
	if keeps { // from a fetch that was stopped, or a patch: only what is between them is copied
		h, err := p.store.files.get(file, true)
		if err != nil {
			return err
		}
		defer p.store.files.put(h)
		w.touched = length
		if err := p.fill(ctx, file, h.f, src); err != nil {
			return errors.Join(err, w.abandon())
		}
		read, w.written = h.f.ReadAt, length
	} else if !p.copies.Load() {
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
			read, w.written = h.f.ReadAt, length // it may change meanwhile: what counts is the copy
		}
	}
	for w.failed == nil && w.at+int64(len(w.buf)) < length {
		if err := ctx.Err(); err != nil {
			return errors.Join(err, w.abandon())
		}
		at := len(w.buf)
		n, err := read(w.buf[at:min(int64(cap(w.buf)), length-w.at)], w.at+int64(at))
		if w.buf = w.buf[:at+n]; len(w.buf) == cap(w.buf) {
			w.flush()
		}
		if err != nil {
			break
		}
	}
	return w.Close()
}

// keeps says whether any piece of a file is here and right. Those that the journal does not vouch for any more are hashed.
func (p *Parts) keeps(file int) (some bool, err error) {
	info := p.store.info
	first, end := info.FilePieces(file)
	for i := first; i < end; i++ {
		if p.isSuspect(i) {
			if _, known := info.PieceRoot(i); known {
				if r := checkPiece(p.store, info, i, allHashes); r.ok {
					p.leaves.put(info.FirstLeaf(i), r.leaves)
					if err := p.record(i, true, true); err != nil {
						return false, err
					}
				}
			}
		}
		some = some || p.HasPiece(i)
	}
	return some, nil
}

// isSuspect says it once for each piece.
func (p *Parts) isSuspect(i int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.suspect.remove(i)
}

// fill copies those pieces of a file from src to its part that are not here. That src ends before or cannot be read is no error: what is right of it is found out.
func (p *Parts) fill(ctx context.Context, file int, part, src *os.File) error {
	info := p.store.info
	length := info.Files[file].Length
	st, err := src.Stat()
	if err != nil {
		return nil
	}
	length = min(length, st.Size())
	first, end := info.FilePieces(file)
	for i := first; i < end; {
		if p.HasPiece(i) {
			i++
			continue
		}
		from := i
		for i < end && !p.HasPiece(i) {
			i++
		}
		off := int64(from-first) * info.PieceLength
		n := min(int64(i-first)*info.PieceLength, length) - off
		if n <= 0 {
			return nil
		}
		if _, err := disk.Clone(ctx, part, src, off, off, n); disk.IsNoSpace(err) || ctx.Err() != nil {
			return err
		}
	}
	return nil
}
