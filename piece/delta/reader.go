package delta

import (
	"errors"
	"fmt"
)

// A reader reads old content at any position. It keeps what it read last, and some files open: small new files are made of stretches of many old
// ones, in any order.
type reader struct {
	tree *Tree
	space
	pages map[int64]page // by position
	order []int64        // of the pages, the one that was read first in front
	bytes int            // that they take
	files []openFile     // the one that was used last in front
}

// A page is up to pageSize bytes of one file, so that no file is touched that the patch does not need.
type page struct {
	at   int64 // its position
	data []byte
}

type openFile struct {
	file int
	Source
}

const (
	pageSize  = 64 << 10
	pageBytes = 4 << 20 // kept of all pages
	mostOpen  = 16
)

func newReader(t *Tree, s space) *reader {
	return &reader{tree: t, space: s, pages: make(map[int64]page)}
}

// read fills b from pos on. The range must be in the space.
func (r *reader) read(b []byte, pos int64) error {
	for len(b) > 0 {
		p, err := r.page(pos)
		if err != nil {
			return err
		}
		n := copy(b, p.data[pos-p.at:])
		b, pos = b[n:], pos+int64(n)
	}
	return nil
}

func (r *reader) page(pos int64) (page, error) {
	i := r.fileAt(pos)
	start, end := r.start[i], r.start[i+1]
	at := start + (pos-start)&^(pageSize-1)
	if p, ok := r.pages[at]; ok {
		return p, nil
	}
	f, err := r.open(i)
	if err != nil {
		return page{}, err
	}
	length := int(min(pageSize, end-at))
	p := page{at, r.room(length)}
	if n, err := f.ReadAt(p.data, at-start); n < length {
		return page{}, fmt.Errorf("old %s: %w", r.tree.Info.Files[i].Name(r.tree.Info), noEOF(err))
	}
	r.pages[at] = p
	r.order = append(r.order, at)
	r.bytes += cap(p.data)
	return p, nil
}

// room is where n bytes are read to, while older pages are given up.
func (r *reader) room(n int) []byte {
	var b []byte
	for r.bytes+n > pageBytes {
		old := r.pages[r.order[0]]
		delete(r.pages, r.order[0])
		r.order = r.order[1:]
		r.bytes -= cap(old.data)
		if cap(old.data) >= n {
			b = old.data[:n]
		}
	}
	if b == nil {
		b = make([]byte, n)
	}
	return b
}

func (r *reader) open(file int) (Source, error) {
	for i, f := range r.files {
		if f.file == file {
			copy(r.files[1:i+1], r.files[:i])
			r.files[0] = f
			return f, nil
		}
	}
	if last := len(r.files) - 1; len(r.files) == mostOpen {
		if err := r.files[last].Close(); err != nil {
			return nil, err
		}
		r.files = r.files[:last]
	}
	f, err := r.tree.Open(file)
	if err != nil {
		return nil, err
	}
	r.files = append(r.files, openFile{})
	copy(r.files[1:], r.files)
	r.files[0] = openFile{file, f}
	return f, nil
}

func (r *reader) close() error {
	var err error
	for _, f := range r.files {
		err = errors.Join(err, f.Close())
	}
	r.files = nil
	return err
}
