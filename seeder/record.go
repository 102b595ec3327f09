package seeder

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"shoal/internal/disk"
	"shoal/internal/release"
	"shoal/piece"
)

// record says where a described content lies and what its files looked like when they were
// hashed. It is kept as metainfo/path-HASH.json, by the hash of the path.
type record struct {
	Path   string
	Key    string // names the .torrent and the leaves beside it
	Stamps []disk.Stamp
	leaves string // a file of leaf hashes that the caller keeps, if any

	release *release.Live // whose it is; nil: that of no repository
}

func (r *record) stamp(i int) (disk.Stamp, bool) { return r.Stamps[i], true }

// stamp looks at file i of a content. Symlinks and empty files count too: a tree that has gained
// or lost one is another tree.
func stamp(path string, info *piece.Info, i int) (disk.Stamp, error) {
	name := path
	if info.Dir {
		name = filepath.Join(append([]string{path}, info.Files[i].Path...)...)
	}
	stat := os.Stat
	if info.Dir {
		stat = os.Lstat
	}
	fi, err := stat(name)
	if err != nil {
		return disk.Stamp{}, err
	}
	return disk.StampOfInfo(fi), nil
}

func (s *Seeder) file(key, ext string) string {
	return filepath.Join(s.cfg.StateDir, "metainfo", key+"."+ext)
}

func (s *Seeder) recordFile(path string) string {
	h := sha256.Sum256([]byte(path))
	return s.file("path-"+hex.EncodeToString(h[:12]), "json")
}

// keep writes a description to the state directory. leaves may be nil.
func (s *Seeder) keep(t *piece.Torrent, rec record, leaves *os.File) error {
	key := t.Key()
	rec.Key = key
	if err := os.MkdirAll(filepath.Join(s.cfg.StateDir, "metainfo"), 0o755); err != nil {
		return err
	}
	if leaves != nil && t.HasV2 {
		if err := errors.Join(leaves.Close(), os.Rename(leaves.Name(), s.file(key, "leaves"))); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	if err := t.Write(&b); err != nil {
		return err
	}
	if err := disk.WriteFile(s.file(key, "torrent"), b.Bytes(), 0o644); err != nil {
		return err
	}
	j, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	return disk.WriteFile(s.recordFile(rec.Path), j, 0o644)
}

var errStale = errors.New("content has changed since it was described")

// recall finds the description of the content at path, if it was made before and no file was
// added, removed or changed since.
func (s *Seeder) recall(path string) (*piece.Torrent, record, error) {
	return s.recallAs(path, filepath.Base(path))
}

// recallAs does the same for content that has another name than its file.
func (s *Seeder) recallAs(path, name string) (*piece.Torrent, record, error) {
	var rec record
	b, err := os.ReadFile(s.recordFile(path))
	if err != nil {
		return nil, rec, err
	}
	if err := json.Unmarshal(b, &rec); err != nil {
		return nil, rec, err
	}
	if rec.Path != path || filepath.Base(rec.Key) != rec.Key {
		return nil, rec, errStale
	}
	t, err := piece.ReadFile(s.file(rec.Key, "torrent"))
	if err != nil {
		return nil, rec, err
	}
	if len(rec.Stamps) != len(t.Files) || t.Name != name {
		return nil, rec, errStale
	}
	for i := range t.Files {
		if now, err := stamp(path, t.Info, i); err != nil || !now.Equal(rec.Stamps[i]) {
			return nil, rec, errStale
		}
	}
	if t.Dir { // something new?
		n := 0
		err := filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				n++
			}
			return err
		})
		if err != nil || n != len(t.Files) {
			return nil, rec, fmt.Errorf("%d files, %d described: %w", n, len(t.Files), errStale)
		}
	}
	return t, rec, nil
}
