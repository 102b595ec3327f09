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
