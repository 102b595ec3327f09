package release

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Sweep removes documents, metainfo and content that no role names any longer, and returns how many bytes that were. It takes the lock.
func (r *Repository) Sweep(ctx context.Context) (freed int64, err error) {
	l, err := r.lock(ctx)
	if err != nil {
		return 0, err
	}
	defer l.Close()
	tx := r.newTx(ctx)
	if err := tx.load(); err != nil {
		return 0, err
	}
	apps, err := tx.Apps()
	if err != nil {
		return 0, err
	}
	files, contents := map[string]bool{}, map[string]bool{}
	for _, app := range apps {
		if err := tx.each(app, func(path string, f *metadata.TargetFiles) error {
			files[hashedFile(path, f)] = true
			if v2, ok := strings.CutSuffix(strings.TrimPrefix(path, "metainfo/"), ".torrent.zst"); ok {
				contents[v2] = true
			}
			return nil
		}); err != nil {
			return 0, err
		}
	}
	if m, err := tx.role(roleRollout); err == nil {
		for path, f := range m.Signed.Targets {
			files[hashedFile(path, f)] = true
		}
	} else if !errors.Is(err, ErrAbsent) {
		return 0, err
	}
	remove := func(path string) error {
		freed += sizeOf(path)
		return os.RemoveAll(path)
	}
	for _, kind := range []string{"releases", "channels", "metainfo", "rollouts"} {
		root := filepath.Join(r.Public(), "targets", kind)
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) || err == nil && d.IsDir() {
				return nil
			}
			if err != nil {
				return err
			}
			if rel, err := filepath.Rel(r.Public(), path); err != nil || files[filepath.ToSlash(rel)] {
				return err
			}
			return remove(path)
		})
		if err != nil {
			return freed, err
		}
	}
	entries, err := os.ReadDir(filepath.Join(r.Public(), "content"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return freed, err
	}
	for _, e := range entries {
		if isHash(e.Name(), 32) && !contents[e.Name()] {
			if err := remove(filepath.Join(r.Public(), "content", e.Name())); err != nil {
				return freed, err
			}
		}
	}
	inPlace, err := r.InPlace()
	if err != nil {
		return freed, err
	}
	for v2 := range inPlace {
		if !contents[v2] {
			if err := tx.SetInPlace(v2, ""); err != nil {
				return freed, err
			}
		}
	}
	abandoned, err := r.RemoveAbandoned()
	return freed + abandoned, err
}

// sizeOf adds up the files at and below path.
func sizeOf(path string) (n int64) {
	_ = filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}
