package release

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// abandonedTime is how long nothing has been written to what is being put together before nobody is at it any more.
const abandonedTime = 24 * time.Hour

// RemoveAbandoned removes what a publish that was killed had begun to bring into the repository, which lies beside the contents under names with a leading dot, and
// returns how many bytes that were.
func (r *Repository) RemoveAbandoned() (freed int64, err error) {
	dir := filepath.Join(r.Public(), "content")
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	since := time.Now().Add(-abandonedTime)
	for _, e := range entries {
		if path := filepath.Join(dir, e.Name()); strings.HasPrefix(e.Name(), ".") && !writtenSince(path, since) {
			freed += sizeOf(path)
			err = errors.Join(err, os.RemoveAll(path))
		}
	}
	return freed, err
}

// writtenSince says whether anything at or below path was, as far as can be told.
func writtenSince(path string, t time.Time) (was bool) {
	filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		var info fs.FileInfo
		if err == nil {
			info, err = d.Info()
		}
		if was = err != nil || info.ModTime().After(t); was {
			return fs.SkipAll
		}
		return nil
	})
	return was
}
