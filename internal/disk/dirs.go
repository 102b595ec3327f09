package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// Dirs is a directory, of whose subdirectories those that were used last stay open. An os.Root opens each directory of a path anew for every
// call: in an update of the Go tree, 11,500 files some five directories deep, that was most of the system calls. Like an os.Root it leads nowhere out
// of itself; and symlinks are followed to a file of their own directory only. It is safe for concurrent use.
type Dirs struct {
	root *os.Root

	mu   sync.Mutex
	open map[string]*openDir // by name; "." is root
}

type openDir struct {
	root  *os.Root
	file  *os.File // the same for the system calls that os.Root does not have; nil: nobody has asked for it yet
	fd    int      // its descriptor
	users int
}

// mostDirs is how many directories stay open.
const mostDirs = 64

// OpenDirs opens a directory.
func OpenDirs(path string) (*Dirs, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &Dirs{root: root, open: map[string]*openDir{".": {root: root, users: 1}}}, nil
}

// Close closes all. Nothing may be under way.
func (d *Dirs) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var err error
	for name, o := range d.open {
		err = errors.Join(err, o.close())
		delete(d.open, name)
	}
	return err
}

func (o *openDir) close() error {
	if o.file != nil {
		o.file.Close()
	}
	return o.root.Close()
}

// Root is the directory itself, for what is seldom done. A directory that is moved or replaced by it may go on being used here.
func (d *Dirs) Root() *os.Root { return d.root }

// in calls use with the directory that name lies in, and its name there.
func (d *Dirs) in(name string, use func(dir *openDir, base string) error) error {
	if !filepath.IsLocal(name) {
		return &fs.PathError{Op: "openat", Path: name, Err: fs.ErrInvalid}
	}
	name = filepath.Clean(name) // from here on no ".." is in it
	o, err := d.borrow(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer d.giveBack(o)
	return use(o, filepath.Base(name))
}

func (d *Dirs) borrow(name string) (*openDir, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.borrowLocked(name)
}

func (d *Dirs) borrowLocked(name string) (*openDir, error) {
	if o := d.open[name]; o != nil {
		o.users++
		return o, nil
	}
	above, err := d.borrowLocked(filepath.Dir(name))
	if err != nil {
		return nil, err
	}
	root, err := above.root.OpenRoot(filepath.Base(name))
	above.users--
	if err != nil { // it may be a symlink to elsewhere in the tree
		if root, err = d.root.OpenRoot(name); err != nil {
			return nil, err
		}
	}
	for other, o := range d.open { // any that nobody uses: trees are gone through directory by directory
		if len(d.open) < mostDirs {
			break
		}
		if o.users == 0 {
			o.close()
			delete(d.open, other)
		}
	}
	o := &openDir{root: root, users: 1}
	d.open[name] = o
	return o, nil
}

func (d *Dirs) giveBack(o *openDir) {
	d.mu.Lock()
	defer d.mu.Unlock()
	o.users--
}

// descriptor is that of a directory that is borrowed.
func (d *Dirs) descriptor(o *openDir) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if o.file == nil {
		f, err := o.root.Open(".")
		if err != nil {
			return 0, err
		}
		o.file, o.fd = f, int(f.Fd())
	}
	return o.fd, nil
}

// Open opens a file to read.
func (d *Dirs) Open(name string) (*os.File, error) { return d.OpenFile(name, os.O_RDONLY, 0) }

// OpenFile is like that of os.Root.
func (d *Dirs) OpenFile(name string, flag int, perm os.FileMode) (f *os.File, err error) {
	err = d.in(name, func(dir *openDir, base string) error {
		f, err = d.openAt(dir, base, flag, perm)
		return err
	})
	return f, err
}

// Lstat is like that of os.Root.
func (d *Dirs) Lstat(name string) (st os.FileInfo, err error) {
	err = d.in(name, func(dir *openDir, base string) error {
		st, err = dir.root.Lstat(base)
		return err
	})
	return st, err
}

// Chmod is like that of os.Root.
func (d *Dirs) Chmod(name string, mode os.FileMode) error {
	return d.in(name, func(dir *openDir, base string) error { return dir.root.Chmod(base, mode) })
}

// Rename is like that of os.Root.
func (d *Dirs) Rename(from, to string) error {
	return d.in(from, func(fromDir *openDir, fromBase string) error {
		return d.in(to, func(toDir *openDir, toBase string) error {
			err := d.renameAt(fromDir, fromBase, toDir, toBase)
			if errors.Is(err, errors.ErrUnsupported) {
				return d.root.Rename(from, to)
			}
			return err
		})
	})
}
