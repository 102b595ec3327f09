package disk

import (
	"errors"
	"os"
)

func (d *Dirs) openAt(dir *openDir, base string, flag int, perm os.FileMode) (*os.File, error) {
	return dir.root.OpenFile(base, flag, perm)
}

func (d *Dirs) renameAt(*openDir, string, *openDir, string) error { return errors.ErrUnsupported }
