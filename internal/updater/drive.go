package updater

import (
	"io/fs"
	"os"
	"path/filepath"

	"shoal/internal/disk"
)

// op is a change of what lies on the disk, in the order in which a power cut may undo it.
type op struct {
	what     string // mkdir, write, rename, link, remove, sync-dir, sync-tree
	path, to string
}

// drive does all that the updater does to names on the disk. Before each change it tells before, if that is set: tests stop there, as a kill or a power cut would.
type drive struct{ before func(op) }

func (d *drive) tell(what, path, to string) {
	if d.before != nil {
		d.before(op{what, path, to})
	}
}

// makeDir makes a directory that may be there already. Its name is durable once its parent is synced.
func (d *drive) makeDir(path string) error {
	if fi, err := os.Stat(path); err == nil && fi.IsDir() {
		return nil
	}
	d.tell("mkdir", path, "")
	return os.MkdirAll(path, 0o755)
}

// write replaces a file as a whole, durably.
func (d *drive) write(path string, data []byte) error {
	d.tell("write", path, "")
	return disk.WriteFile(path, data, 0o644)
}

// rename moves a file or directory, over a file that may be there. It is durable once the directories are synced.
func (d *drive) rename(from, to string) error {
	d.tell("rename", from, to)
	return os.Rename(from, to)
}

// link makes a symlink.
func (d *drive) link(target, path string) error {
	d.tell("link", path, target)
	return os.Symlink(target, path)
}

// remove removes whatever lies at path, if anything does.
func (d *drive) remove(path string) error {
	if _, err := os.Lstat(path); err != nil {
		return nil
	}
	d.tell("remove", path, "")
	return os.RemoveAll(path)
}

// syncDir makes the names in a directory durable.
func (d *drive) syncDir(path string) error {
	d.tell("sync-dir", path, "")
	return disk.SyncDir(path)
}

// syncTree makes a file, or a directory and all that is below, durable, but for its own name.
func (d *drive) syncTree(path string) error {
	d.tell("sync-tree", path, "")
	var files []string
	err := filepath.WalkDir(path, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir():
			return disk.SyncDir(path)
		case e.Type().IsRegular():
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return disk.SyncFiles(files)
}
