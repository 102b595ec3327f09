package swarm

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"shoal/internal/disk"
	"shoal/piece"
)

// ErrChanged says that content which was verified is no longer what it was: a file has another
// size, time or inode, or is gone. It is never served as good again.
var ErrChanged = errors.New("content has changed on disk since it was verified")

// storage is where a torrent's bytes lie. Offsets are in piece space; gaps read as zeros.
type storage interface {
	ReadAt(b []byte, off int64) error
	WriteAt(b []byte, off int64) error
	Close() error
}

// lender is storage that lies in files.
type lender interface {
	// lend gives file i open for reading, if it still is what was verified; the caller hands it back with giveBack.
	lend(i int) (*handle, error)
	giveBack(*handle)
}

// ledger is the storage of a fetch, which is told what was verified: [store].
type ledger interface {
	storage
	// record notes that a piece is verified, kind is the journal's, and says whether a sync is due.
	record(p int, kind byte) (due bool, err error)
	// sync makes what was recorded survive a power cut.
	sync() error
	// distrust has everything hashed at the next start.
	distrust()
	// place gives the files that want names their own names, and clean removes all else.
	place(want func(i int) bool) error
	clean() error
	inPlace(file int) bool
}

// content is a finished file or tree that is only read, such as what an origin serves.
type content struct {
	info  *piece.Info
	path  string
	dirs  *disk.Dirs // the tree's directory, or the single file's
	files *handles

	mu     sync.Mutex
	stamps map[int]disk.Stamp // as seen when each file was first opened, or as given
	given  func(file int) (disk.Stamp, bool)
}

// openContent opens the content at path for reading. stamps, if not nil, says what each file
// looked like when it was verified.
func openContent(path string, info *piece.Info, stamps func(int) (disk.Stamp, bool)) (*content, error) {
	dir := path
	if !info.Dir {
		dir = filepath.Dir(path)
	}
	dirs, err := disk.OpenDirs(dir)
	if err != nil {
		return nil, fmt.Errorf("opening content: %w", err)
	}
	c := &content{info: info, path: path, dirs: dirs, given: stamps, stamps: make(map[int]disk.Stamp)}
	c.files = newHandles(64, c.open)
	return c, nil
}

func (c *content) open(i int, write bool) (*os.File, error) {
	if write {
		return nil, errors.New("content is read only")
	}
	name := filepath.Base(c.path)
	if c.info.Dir {
		name = filepath.Join(c.info.Files[i].Path...)
	}
	f, err := c.dirs.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s is gone", ErrChanged, name)
	}
	return f, err
}

// check compares an open file with its stamp.
func (c *content) check(i int, f *os.File) error {
	now, err := disk.StampOf(f)
	if err != nil {
		return err
	}
	c.mu.Lock()
	want, ok := c.stamps[i]
	if !ok {
		want = now
		if c.given != nil {
			if s, known := c.given(i); known {
				want = s
			}
		}
		c.stamps[i] = want
	}
	c.mu.Unlock()
	if !now.Equal(want) || now.Size != c.info.Files[i].Length {
		return fmt.Errorf("%w: %s", ErrChanged, c.info.Files[i].Name(c.info))
	}
	return nil
}

func (c *content) ReadAt(b []byte, off int64) error {
	return readFiles(c, c.info, b, off)
}

func (c *content) lend(i int) (*handle, error) {
	h, err := c.files.get(i, false)
	if err != nil {
		return nil, err
	}
	if err := c.check(i, h.f); err != nil {
		c.files.put(h)
		return nil, err
	}
	return h, nil
}

func (c *content) giveBack(h *handle) { c.files.put(h) }

func (c *content) WriteAt([]byte, int64) error { return errors.New("content is read only") }

func (c *content) Close() error {
	c.files.close()
	return c.dirs.Close()
}

// readFiles fills b from piece space at off: gaps with zeros.
func readFiles(from lender, info *piece.Info, b []byte, off int64) error {
	at := off
	for s := range info.Segments(off, int64(len(b))) {
		clear(b[at-off : s.Offset-off])
		h, err := from.lend(s.File)
		if err != nil {
			return err
		}
		err = readFull(h.f, b[s.Offset-off:][:s.Length], s.FileOffset)
		from.giveBack(h)
		if err != nil {
			return err
		}
		at = s.Offset + s.Length
	}
	clear(b[at-off:])
	return nil
}

// readFull is f.ReadAt for whom the end of the file comes too early.
func readFull(f *os.File, b []byte, off int64) error {
	n, err := f.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
