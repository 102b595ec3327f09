package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ReplaceFile is WriteFile without waiting for the disk: other processes see the old content or the new one in full, but after a power loss the file may also be empty.
// It is for what can be had again, and for many files that SyncFiles makes durable together. Permissions are set exactly.
func ReplaceFile(path string, data []byte, perm fs.FileMode) (err error) {
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	f, err := os.CreateTemp(dir, "."+base+".*.tmp")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(perm), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// manyFiles is from how many files on it is cheaper to sync the whole file system once.
const manyFiles = 32

// SyncFiles makes files and their names durable, all of one file system.
func SyncFiles(paths []string) error {
	if len(paths) >= manyFiles && SyncFS(paths[0]) == nil {
		return nil
	}
	dirs := map[string]bool{}
	for _, path := range paths {
		f, err := os.OpenFile(path, os.O_RDWR, 0) // Windows flushes only what can be written to
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
		dirs[filepath.Dir(path)] = true
	}
	for dir := range dirs {
		if err := SyncDir(dir); err != nil {
			return err
		}
	}
	return nil
}
