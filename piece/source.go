package piece

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// A source reads the files of a torrent, each opened when its first piece is read and closed after its last, so that 50,000 files need no more
// descriptors than there are workers, and each is opened once.
type source struct {
	in    *Info
	path  func(i int) string
	files []sourceFile
}

type sourceFile struct {
	mu     sync.Mutex
	f      *os.File // nil: not open, or given up
	err    error    // why it is given up
	pieces int      // that still need it
	want   FileStat // what it must be when all is read
	sparse bool
	skip   bool // do not open it
}

func newSource(in *Info, path func(i int) string) *source {
	s := &source{in: in, path: path, files: make([]sourceFile, len(in.Files))}
	for i := range s.files {
		first, end := in.FilePieces(i)
		s.files[i].pieces = end - first
	}
	return s
}

var (
	errChanged = errors.New("changed while it was read")
	errSkipped = errors.New("left out")
)

// open returns file i; it stays open until its last piece is done.
func (s *source) open(i int) (*os.File, error) {
	sf := &s.files[i]
	sf.mu.Lock()
	defer sf.mu.Unlock()
	if sf.skip {
		return nil, errSkipped
	}
	if sf.f == nil && sf.err == nil {
		sf.f, sf.err = os.Open(s.path(i))
	}
	return sf.f, sf.err
}

// read fills b from file i at off.
func (s *source) read(i int, b []byte, off int64) error {
	f, err := s.open(i)
	if err != nil {
		return err
	}
	if n, err := f.ReadAt(b, off); n < len(b) {
		if err == io.EOF {
			return fmt.Errorf("%s: it is shorter than %d bytes: %w", s.path(i), off+int64(len(b)), errChanged)
		}
		return err
	}
	return nil
}

// hole reports whether file i has only zeros in [off, off+n) and says so without reading.
func (s *source) hole(i int, off, n int64) bool {
	if !s.files[i].sparse {
		return false
	}
	f, err := s.open(i)
	return err == nil && isHole(f, off, n)
}

// done tells that a piece of file i is finished. After the last one the file is compared with what it was, and closed.
func (s *source) done(i int) error {
	sf := &s.files[i]
	sf.mu.Lock()
	defer sf.mu.Unlock()
	sf.pieces--
	if sf.pieces > 0 || sf.f == nil {
		return nil
	}
	f := sf.f
	sf.f = nil
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if statOf(fi) != sf.want {
		return fmt.Errorf("%s: %w", s.path(i), errChanged)
	}
	return nil
}

// close closes what an early end left open.
func (s *source) close() {
	for i := range s.files {
		if f := s.files[i].f; f != nil {
			f.Close()
		}
	}
}
