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
	most  int                     // that they may take
	back  int                     // pages that were read again soon after they were given up
	gone  recent                  // pages that were given up
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
	pageSize    = 16 << 10 // with 64 KiB an update of bun, which copies from here and there, reads more than twice as much
	fewPages    = 1 << 20  // bytes kept at first: memory that is touched first costs more than to read what is hardly wanted again
	backPerPage = 8        // so many pages have to come back before one more is kept
	mostPages   = 24 << 20 // bytes kept at most: small files are made from about that much at a time (Options.Memory)
	directBytes = 32 << 10 // what is longer is read past the pages
	mostOpen    = 16
)

func newReader(t *Tree, s space) *reader {
	return &reader{tree: t, space: s, pages: make(map[int64]*list.Element), most: fewPages}
}

// read fills b from pos on. The range must be in the space. What is long is hardly wanted again, and not kept.
func (r *reader) read(b []byte, pos int64) error {
	for len(b) > 0 {
		if i := r.fileAt(pos); len(b) >= directBytes && int64(len(b)) <= r.start[i+1]-pos {
			return r.readFile(i, b, pos)
		}
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
	if r.gone.has(at) {
		r.back++
		r.most = min(fewPages+r.back/backPerPage*pageSize, mostPages)
	}
	p := page{at, r.room(int(min(pageSize, end-at)))}
	if err := r.readFile(i, p.data, at); err != nil {
		return page{}, err
	}
	r.pages[at] = r.used.PushFront(p)
	r.bytes += cap(p.data)
	return p, nil
}

// readFile fills b from pos on, which is all in one file.
func (r *reader) readFile(file int, b []byte, pos int64) error {
	f, err := r.open(file)
	if err != nil {
		return err
	}
	if n, err := f.ReadAt(b, pos-r.start[file]); n < len(b) {
		return fmt.Errorf("old %s: %w", r.tree.Info.Files[file].Name(r.tree.Info), noEOF(err))
	}
	return nil
}

// room is where n bytes are read to, while pages that were not used for long are given up.
func (r *reader) room(n int) []byte {
	var b []byte
	for r.bytes+n > r.most {
		old := r.used.Remove(r.used.Back()).(page)
		delete(r.pages, old.at)
		r.gone.add(old.at)
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

// recent knows the pages that were given up last, as many as may be kept at most. Those before would be gone however many are kept.
type recent struct {
	pages map[int64]struct{}
	order []int64 // a ring
	next  int
}

func (r *recent) has(at int64) bool {
	_, ok := r.pages[at]
	return ok
}

func (r *recent) add(at int64) {
	if r.pages == nil {
		r.pages = make(map[int64]struct{})
	}
	if r.has(at) {
		return
	}
	r.pages[at] = struct{}{}
	if len(r.order) < mostPages/pageSize {
		r.order = append(r.order, at)
		return
	}
	delete(r.pages, r.order[r.next])
	r.order[r.next] = at
	r.next = (r.next + 1) % len(r.order)
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
