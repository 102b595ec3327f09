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

// What is installed is remembered in the state directory: metainfo/V2.torrent describes it, metainfo/V2.at is the path where it was put, and metainfo/V2.release
// is APP@VERSION. So an update knows what an old version consists of without reading it, and without asking anybody. An origin keeps the same .torrent files there.
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

// keep remembers that a content, which is a release, lies at path.
func (s installed) keep(t *piece.Torrent, path, release string) error {
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
	if err := disk.WriteFile(s.file(v2, "release"), []byte(release+"\n"), 0o644); err != nil {
		return err
	}
	return disk.WriteFile(s.file(v2, "at"), []byte(absolute+"\n"), 0o644)
}

// release is APP@VERSION of a content; "": it is not known.
func (s installed) release(v2 string) string { return s.line(v2, "release") }

// line reads a file of one line; "" if there is none.
func (s installed) line(v2, ext string) string {
	f, err := os.Open(s.file(v2, ext))
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 8<<10))
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(b), "\n")
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

// maxInstalled is how many places of installed content are looked at for older versions: two lines are read of each.
const maxInstalled = 256

// put is that a content was put somewhere.
type put struct{ path, v2 string }

// puts are where content was put, by the v2 info hashes: so many, the newest first.
func (s installed) puts(most int) (list []put) {
	if s.dir == "" {
		return nil
	}
	paths, err := filepath.Glob(filepath.Join(quoteGlob(s.dir), "metainfo", "*.at"))
	if err != nil {
		return nil
	}
	newestFirst(paths)
	seen := map[string]bool{}
	for _, p := range paths[:min(len(paths), most)] {
		if where := s.line(strings.TrimSuffix(filepath.Base(p), ".at"), "at"); filepath.IsAbs(where) && !seen[where] {
			seen[where] = true
			list = append(list, put{where, strings.TrimSuffix(filepath.Base(p), ".at")})
		}
	}
	return list
}

// places are where content was put, by path: its v2 info hash. So many are looked at, the newest first.
func (s installed) places(most int) map[string]string {
	found := map[string]string{}
	for _, p := range s.puts(most) {
		found[p.path] = p.v2
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
