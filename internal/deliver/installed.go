package deliver

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"shoal/internal/disk"
	"shoal/piece"
)

// What is installed is remembered in the state directory: metainfo/V2.torrent describes it, and metainfo/V2.at is the path where it was put. So an
// update knows what an old version consists of without reading it, and without asking anybody. An origin keeps the same .torrent files there.
type installed struct{ dir string }

func (s installed) file(v2, ext string) string { return filepath.Join(s.dir, "metainfo", v2+"."+ext) }

// torrent reads the description of a content; nil if there is none that is right.
func (s installed) torrent(v2 string) *piece.Torrent {
	if s.dir == "" {
		return nil
	}
	f, err := os.Open(s.file(v2, "torrent"))
	if err != nil {
		return nil
	}
	defer f.Close()
	t, err := piece.Read(f)
	if err != nil || !t.HasV2 || hex.EncodeToString(t.V2[:]) != v2 {
		return nil
	}
	return t
}

// keep remembers that a content lies at path.
func (s installed) keep(t *piece.Torrent, path string) error {
	if s.dir == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Join(s.dir, "metainfo"), 0o755); err != nil {
		return err
	}
	v2 := hex.EncodeToString(t.V2[:])
	if _, err := os.Lstat(s.file(v2, "torrent")); errors.Is(err, fs.ErrNotExist) {
		if err := writeTorrent(s.file(v2, "torrent"), t); err != nil {
			return err
		}
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	return disk.WriteFile(s.file(v2, "at"), []byte(absolute+"\n"), 0o644)
}

// writeTorrent writes a description, in a directory that is made if it is not there.
func writeTorrent(path string, t *piece.Torrent) error {
	var b bytes.Buffer
	if err := t.Write(&b); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return disk.WriteFile(path, b.Bytes(), 0o644)
}

// maxInstalled is how many places of installed content are looked at, the newest first.
const maxInstalled = 16

// places are where content was put, by path: its v2 info hash.
func (s installed) places() map[string]string {
	found := map[string]string{}
	if s.dir == "" {
		return found
	}
	paths, err := filepath.Glob(filepath.Join(s.dir, "metainfo", "*.at"))
	if err != nil {
		return found
	}
	newestFirst(paths)
	for _, p := range paths[:min(len(paths), maxInstalled)] {
		f, err := os.Open(p)
		if err != nil {
			continue
		}
		b, err := io.ReadAll(io.LimitReader(f, 8<<10))
		f.Close()
		if where := strings.TrimSuffix(string(b), "\n"); err == nil && filepath.IsAbs(where) && found[where] == "" {
			found[where] = strings.TrimSuffix(filepath.Base(p), ".at")
		}
	}
	return found
}

// newestFirst sorts paths by when they were changed.
func newestFirst(paths []string) {
	changed := map[string]int64{}
	for _, p := range paths {
		if info, err := os.Lstat(p); err == nil {
			changed[p] = info.ModTime().UnixNano()
		}
	}
	slices.SortStableFunc(paths, func(a, b string) int { return int(min(max(changed[b]-changed[a], -1), 1)) })
}
