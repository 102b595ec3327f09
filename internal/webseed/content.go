package webseed

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Content is what one torrent describes, lying on disk.
type Content struct {
	Key   string // the info hash in hex: 64 digits (v2) or, for a v1-only torrent, 40
	Name  string // the torrent's name, the first component below the key
	Dir   bool   // a tree; else Files is one file without a path
	Path  string // where it lies: the file itself, or the tree's root. The operator's, so a symlink is followed
	Files []File // not to be changed after Add; entries without bytes of their own (symlinks, pads) are left out
	Plain bool   // served as /NAME as well

	// Unchanged returns nil if what was opened for Files[i], of which this is the state now, is still the file that was verified; nil as a function
	// compares the length alone. It is called by many goroutines and often.
	Unchanged func(i int, fi fs.FileInfo) error
	// Admit is asked before anything of a response with n bytes of body is sent under /content/, which is where swarms' clients ask; a time as
	// the answer turns the request down until then. Plain downloads are not asked about. Nil admits all.
	Admit func(r *http.Request, n int64) (wait time.Duration)
	// Unsent is told how many of the bytes that were admitted did not go out.
	Unsent func(n int64)
	// Gone is told once for each content, of the first file found changed or vanished and why. It is called by the request that found it.
	Gone func(i int, why error)
}

// File is one file of a Content.
type File struct {
	Path   string   // below the name, with slashes; "" in a single-file torrent
	Length int64    // bytes
	Root   [32]byte // BEP 52 pieces root, which names the bytes; zero where there is none
}

// entry is a Content that is served.
type entry struct {
	Content
	byPath  []int32 // indices into Files, sorted by path
	sent    atomic.Int64
	removed atomic.Bool
	gone    sync.Once
}

func newEntry(c Content) (*entry, error) {
	c.Key = strings.ToLower(c.Key)
	if _, err := hex.DecodeString(c.Key); err != nil || len(c.Key) != 40 && len(c.Key) != 64 {
		return nil, fmt.Errorf("key %q is not an info hash in hex", c.Key)
	}
	if !fs.ValidPath(c.Name) || c.Name == "." || strings.Contains(c.Name, "/") {
		return nil, fmt.Errorf("name %q of %s is not a file name", c.Name, c.Key)
	}
	if !c.Dir && len(c.Files) != 1 {
		return nil, fmt.Errorf("%s has %d files and is not a tree", c.Key, len(c.Files))
	}
	e := &entry{Content: c, byPath: make([]int32, len(c.Files))}
	for i, f := range c.Files {
		if c.Dir == (f.Path == "") || c.Dir && (!fs.ValidPath(f.Path) || f.Path == ".") || f.Length < 0 {
			return nil, fmt.Errorf("file %d of %s has the path %q and length %d", i, c.Key, f.Path, f.Length)
		}
		e.byPath[i] = int32(i)
	}
	slices.SortFunc(e.byPath, func(a, b int32) int { return cmp.Compare(c.Files[a].Path, c.Files[b].Path) })
	for n := 1; n < len(e.byPath); n++ {
		if p := c.Files[e.byPath[n]].Path; p == c.Files[e.byPath[n-1]].Path {
			return nil, fmt.Errorf("%s lists %q twice", c.Key, p)
		}
	}
	return e, nil
}

// find returns the file that "NAME" or "NAME/PATH" names.
func (e *entry) find(rest string) (i int, ok bool) {
	path, ok := strings.CutPrefix(rest, e.Name)
	if !ok {
		return 0, false
	}
	if e.Dir {
		if path, ok = strings.CutPrefix(path, "/"); !ok {
			return 0, false
		}
	}
	n, ok := slices.BinarySearchFunc(e.byPath, path, func(i int32, p string) int { return cmp.Compare(e.Files[i].Path, p) })
	if !ok {
		return 0, false
	}
	return int(e.byPath[n]), true
}

// tag is the strong ETag. Two contents that share a file share its tag where the torrent names its bytes by a hash.
func (e *entry) tag(i int) string {
	if root := e.Files[i].Root; root != [32]byte{} {
		return fmt.Sprintf(`"%x"`, root)
	}
	return fmt.Sprintf(`"%s-%d"`, e.Key, i)
}

// errBusy is wrapped when a file could not be opened for want of descriptors, which says nothing about the file.
var errBusy = errors.New("too many open files")

// open opens file i and makes sure that it is the one that was verified. An error that is not errBusy has been reported to Gone.
func (e *entry) open(i int) (f *os.File, fi fs.FileInfo, err error) {
	// O_NONBLOCK: a named pipe in the file's place must not hold the request for ever.
	const flags = os.O_RDONLY | syscall.O_NONBLOCK
	if e.Dir {
		var root *os.Root
		if root, err = os.OpenRoot(e.Path); err == nil {
			f, err = root.OpenFile(filepath.FromSlash(e.Files[i].Path), flags, 0)
			root.Close()
		}
	} else {
		f, err = os.OpenFile(e.Path, flags, 0)
	}
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		return nil, nil, fmt.Errorf("%w: %w", errBusy, err)
	}
	if err != nil {
		return nil, nil, e.report(i, err)
	}
	if fi, err = e.check(i, f); err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, fi, nil
}

// check is cheap enough to be asked before each slice that is sent.
func (e *entry) check(i int, f *os.File) (fi fs.FileInfo, err error) {
	fi, err = f.Stat()
	switch {
	case err != nil:
	case !fi.Mode().IsRegular():
		err = fmt.Errorf("%s is not a regular file any more", f.Name())
	case fi.Size() != e.Files[i].Length:
		err = fmt.Errorf("%s has %d bytes now, not %d", f.Name(), fi.Size(), e.Files[i].Length)
	case e.Unchanged != nil:
		err = e.Unchanged(i, fi)
	}
	if err != nil {
		return nil, e.report(i, err)
	}
	return fi, nil
}

func (e *entry) report(i int, why error) error {
	e.gone.Do(func() {
		if e.Gone != nil {
			e.Gone(i, why)
		}
	})
	return why
}
