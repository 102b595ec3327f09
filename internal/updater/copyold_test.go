package updater

import (
	"context"
	"os"
	"path/filepath"

	"shoal/internal/disk"
	"shoal/piece"
)

// copyOld brings files of an old version to dir, under the names that the new one has for them: what is right in them is not fetched. Where something lies
// already nothing is done: that is of a fetch that was interrupted. old is the version's directory; "": there is none.
func copyOld(ctx context.Context, info *piece.Info, old, dir string) error {
	if old == "" || disk.Exists(filepath.Join(dir, info.Name)) {
		return nil
	}
	from, err := os.OpenRoot(old)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer to.Close()
	for i := range info.Files {
		name := filepath.Join(info.Files[i].Path...)
		target := filepath.Join(info.Name, name)
		if !info.Dir { // whatever it was called
			list, err := os.ReadDir(old)
			if err != nil || len(list) != 1 {
				return err
			}
			name, target = list[0].Name(), info.Name
		}
		if fi, err := from.Lstat(name); err != nil || !fi.Mode().IsRegular() || info.Files[i].Length == 0 {
			continue
		}
		if err := copyWithin(ctx, from, name, to, target); err != nil {
			return err
		}
	}
	return nil
}

func copyWithin(ctx context.Context, from *os.Root, name string, to *os.Root, target string) error {
	src, err := from.Open(name)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := to.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	dst, err := to.OpenFile(target, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	return clone(ctx, dst, src)
}
