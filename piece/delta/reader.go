package delta

import (
	"container/list"
	"errors"
	"fmt"
)

// A reader reads old content at any position. It keeps what it used last, and some files open: small new files are made of stretches of many old
// ones, in any order, and to open a file costs more than to read it.
type reader struct {
	tree *Tree
	space
	pages map[int64]*list.Element // by position; their values are pages
	used  list.List               // of the pages, the one that was used last in front
	bytes int                     // that they take
	files []openFile              // the one that was used last in front
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
	pageBytes = 32 << 20 // kept of all pages: small files are made from about that much at a time (Options.Memory)
	mostOpen  = 16
)

func newReader(t *Tree, s space) *reader {
	return &reader{tree: t, space: s, pages: make(map[int64]*list.Element)}
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
	if e, ok := r.pages[at]; ok {
		r.used.MoveToFront(e)
		return e.Value.(page), nil
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
	r.pages[at] = r.used.PushFront(p)
	r.bytes += cap(p.data)
	return p, nil
}

// room is where n bytes are read to, while pages that were not used for long are given up.
func (r *reader) room(n int) []byte {
	var b []byte
	for r.bytes+n > pageBytes {
		old := r.used.Remove(r.used.Back()).(page)
		delete(r.pages, old.at)
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
