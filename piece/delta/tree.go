package delta

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"

	"shoal/piece"
)

// A Tree is one version of some content, on a disk.
type Tree struct {
	// Info describes it. It must have v2: files are told apart by their roots.
	Info *piece.Info
	// Open opens the content of Info.Files[file]. It is called concurrently, and only for files with content.
	Open func(file int) (Source, error)
}

// A Source is the content of an open file.
type Source interface {
	io.ReaderAt
	io.Closer
}

// Dir is the tree that lies at path: the one file of a single-file torrent, or the directory. No symlink leads out of it.
func Dir(info *piece.Info, path string) Tree {
	dir := path
	if !info.Dir {
		dir = filepath.Dir(path)
	}
	return Tree{Info: info, Open: func(file int) (Source, error) {
		name := filepath.Base(path)
		if info.Dir {
			name = filepath.Join(info.Files[file].Path...)
		}
		f, err := os.OpenInRoot(dir, name)
		if err != nil {
			return nil, err // beware of a nil *os.File that is no nil Source
		}
		return f, nil
	}}
}

// space lays the content of all files of a version end to end, in their order, without gaps: positions of old content in a patch are in it.
type space struct {
	start []int64 // by index of file; and the end of all
}

func newSpace(in *piece.Info) space {
	s := space{start: make([]int64, len(in.Files)+1)}
	for i := range in.Files {
		s.start[i+1] = s.start[i]
		if in.Files[i].Symlink == nil {
			s.start[i+1] += in.Files[i].Length
		}
	}
	return s
}

func (s space) end() int64 { return s.start[len(s.start)-1] }

// fileAt is the file with content at pos, which is before the end.
func (s space) fileAt(pos int64) int {
	return sort.Search(len(s.start), func(i int) bool { return s.start[i] > pos }) - 1
}

// bounds is where the file at pos begins and ends.
func (s space) bounds(pos int64) (start, end int64) {
	i := s.fileAt(pos)
	return s.start[i], s.start[i+1]
}

// readFile fills b from offset off of a file, which has that much.
func (t *Tree) readFile(file int, b []byte, off int64) error {
	f, err := t.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if n, err := f.ReadAt(b, off); n < len(b) {
		return fmt.Errorf("%s: %w", t.Info.Files[file].Name(t.Info), noEOF(err))
	}
	return nil
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// A reader reads old content at any position, and keeps what it read last: copies mostly go on where the one before ended.
type reader struct {
	tree *Tree
	space
	file   int // that is open, if source is not nil
	source Source
	pages  [32]page
}

// A page is up to pageSize bytes of one file, so that no file is touched that the patch does not need.
type page struct {
	at   int64 // its position; -1: nothing
	data []byte
}

const pageSize = 64 << 10

func newReader(t *Tree, s space) *reader {
	r := &reader{tree: t, space: s}
	for i := range r.pages {
		r.pages[i].at = -1
	}
	return r
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

func (r *reader) page(pos int64) (*page, error) {
	i := r.fileAt(pos)
	start, end := r.start[i], r.start[i+1]
	at := start + (pos-start)&^(pageSize-1)
	p := &r.pages[at/pageSize%int64(len(r.pages))]
	if p.at == at {
		return p, nil
	}
	if err := r.open(i); err != nil {
		return nil, err
	}
	if p.data == nil {
		p.data = make([]byte, pageSize)
	}
	p.at, p.data = -1, p.data[:min(pageSize, end-at)]
	if n, err := r.source.ReadAt(p.data, at-start); n < len(p.data) {
		return nil, fmt.Errorf("old %s: %w", r.tree.Info.Files[i].Name(r.tree.Info), noEOF(err))
	}
	p.at = at
	return p, nil
}

func (r *reader) open(file int) error {
	if r.source != nil && r.file == file {
		return nil
	}
	if err := r.close(); err != nil {
		return err
	}
	f, err := r.tree.Open(file)
	if err != nil {
		return err
	}
	r.file, r.source = file, f
	return nil
}

func (r *reader) close() error {
	if r.source == nil {
		return nil
	}
	err := r.source.Close()
	r.source = nil
	return err
}
