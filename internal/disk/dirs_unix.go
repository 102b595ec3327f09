//go:build unix

package disk

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// openAt opens what is called base in a directory. It does what os.Root does, but for the five system calls in which it learns that a file on a disk
// is nothing to wait for.
func (d *Dirs) openAt(dir *openDir, base string, flag int, perm os.FileMode) (*os.File, error) {
	fd, err := d.descriptor(dir)
	if err != nil {
		return nil, err
	}
	opened, err := -1, error(unix.EINTR)
	for err == unix.EINTR {
		opened, err = unix.Openat(fd, base, flag|unix.O_NOFOLLOW|unix.O_CLOEXEC, uint32(perm.Perm()))
	}
	if err != nil { // it may be a symlink, which os.Root knows how to follow
		return dir.root.OpenFile(base, flag, perm)
	}
	return os.NewFile(uintptr(opened), filepath.Join(dir.root.Name(), base)), nil
}

// renameAt renames what is called fromBase in one directory to toBase in another; neither name has a separator.
func (d *Dirs) renameAt(from *openDir, fromBase string, to *openDir, toBase string) error {
	f, err := d.descriptor(from)
	if err != nil {
		return err
	}
	t, err := d.descriptor(to)
	if err != nil {
		return err
	}
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Renameat(f, fromBase, t, toBase)
	}
	if err != nil {
		return &os.LinkError{Op: "renameat", Old: filepath.Join(from.root.Name(), fromBase), New: filepath.Join(to.root.Name(), toBase), Err: err}
	}
	return nil
}
