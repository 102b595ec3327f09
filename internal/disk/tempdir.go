package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// TempDir is a directory for what a process needs only while it lives.
type TempDir struct {
	Path string // to use; it is below what prefix has named

	dir  string
	lock *DirLock
}

// NewTempDir makes one in parent, whose name begins with prefix. What processes that were killed have left there of the same prefix is removed, as far as this user may: each
// holds its directory as LockDir does, so that none is taken for left while it is in use. Close removes it.
func NewTempDir(parent, prefix string) (*TempDir, error) {
	removeLeft(parent, prefix)
	for tries := 0; ; tries++ {
		dir, err := os.MkdirTemp(parent, prefix)
		if err != nil {
			return nil, err
		}
		lock, err := LockDir(dir)
		if err == nil {
			if _, err = os.Lstat(filepath.Join(dir, "lock")); err == nil {
				t := &TempDir{Path: filepath.Join(dir, "content"), dir: dir, lock: lock}
				if err = os.Mkdir(t.Path, 0o700); err == nil {
					return t, nil
				}
			}
			lock.Close()
		}
		os.RemoveAll(dir)
		// Somebody who removes what was left has taken it for that, before it was locked.
		if raced := errors.Is(err, ErrHeld) || errors.Is(err, fs.ErrNotExist); !raced || tries == 10 {
			return nil, err
		}
	}
}

// Close removes the directory.
func (t *TempDir) Close() error { return errors.Join(t.lock.Close(), os.RemoveAll(t.dir)) }

// removeLeft removes directories in parent that nobody holds any more. Anybody may write to a directory for temporary files: no link is followed.
func removeLeft(parent, prefix string) {
	root, err := os.OpenRoot(parent)
	if err != nil {
		return
	}
	defer root.Close()
	all, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return
	}
	for _, e := range all {
		if e.IsDir() && strings.HasPrefix(e.Name(), prefix) {
			removeUnheld(root, e.Name())
		}
	}
}

// removeUnheld removes a directory, unless somebody holds it or it is not one of ours. What is removed is held meanwhile, so that who has only just made it notices.
func removeUnheld(parent *os.Root, name string) {
	lock := filepath.Join(name, "lock")
	info, err := parent.Lstat(lock)
	if errors.Is(err, fs.ErrNotExist) {
		parent.Remove(name) // it ended before it held it: then there is nothing in it
		return
	}
	if err != nil || !info.Mode().IsRegular() {
		return
	}
	f, err := parent.Open(lock)
	if err != nil {
		return
	}
	defer f.Close()
	if held, err := tryLock(f); err != nil || held {
		return
	}
	err = parent.RemoveAll(name)
	unlock(f)
	if err != nil { // Windows keeps a file that is open
		f.Close()
		parent.RemoveAll(name)
	}
}
