package edgecache

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"shoal/internal/disk"
	"shoal/piece"
)

// ours says whether a shelf can have made what is called so among what is called KEY with this ending, and whose it is; half is a file that was being written.
func ours(name, ending string) (key string, half, ok bool) {
	key, ok = strings.CutSuffix(name, ending)
	if ok && validKey(key) {
		return key, false, true
	}
	name, ok = strings.CutSuffix(strings.TrimPrefix(name, "."), ".tmp") // see disk.Write
	if at := strings.LastIndexByte(name, '.'); ok && at >= 0 {
		key, ok = strings.CutSuffix(name[:at], ending)
		return key, true, ok && validKey(key)
	}
	return "", false, false
}

// openShelf looks at what is there. What is neither whole nor can go on is removed; what a shelf cannot have made is left alone, see shelf.foreign.
func openShelf(dir string, quota, floor int64) (*shelf, error) {
	s := &shelf{dir: dir, quota: quota, floor: floor, free: disk.Free, held: map[string]*held{}, heats: map[string]heat{}, pins: map[string]pin{}}
	for _, name := range []string{"content", "metainfo", "file"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return nil, err
		}
	}
	for name, to := range map[string]any{"heat.json": &s.heats, "pins.json": &s.pins} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = json.Unmarshal(b, to)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
	}
	entries, err := os.ReadDir(filepath.Join(dir, "content"))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		key, half, isRecord := ours(e.Name(), ".json")
		switch {
		case isRecord && !half:
			if r, err := readRecord(s.recordPath(key)); err == nil {
				s.held[key] = &held{name: r.Name, bytes: r.Bytes, cost: r.Cost, whole: true, at: r.At, read: later(r.At, r.Read)}
				continue
			}
		case e.IsDir() && validKey(e.Name()):
			continue
		case !isRecord && !validKey(e.Name()):
			s.foreign = append(s.foreign, filepath.Join("content", e.Name()))
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, "content", e.Name())); err != nil {
			return nil, err
		}
	}
	for _, e := range entries {
		if key := e.Name(); e.IsDir() && validKey(key) && s.held[key] == nil {
			if t, err := piece.ReadFile(s.torrentPath(key)); err == nil {
				s.held[key] = &held{name: t.Name, bytes: t.Length, cost: costOf(t), written: min(costOf(t), s.written(key)), orphan: true}
			} else if err := s.remove(key); err != nil {
				return nil, err
			}
		}
	}
	return s, errors.Join(s.openFiles(), s.tidyMetainfo())
}

// openFiles looks at the signed files that are there.
func (s *shelf) openFiles() error {
	entries, err := os.ReadDir(filepath.Join(s.dir, "file"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return err
		}
		key, half, ok := ours(e.Name(), "")
		if !ok {
			s.foreign = append(s.foreign, filepath.Join("file", e.Name()))
			continue
		}
		if !half && info.Mode().IsRegular() {
			s.held[key] = &held{name: key, bytes: info.Size(), cost: fileCost(info.Size()), whole: true, file: true, at: info.ModTime()}
		} else if err := os.RemoveAll(filepath.Join(s.dir, "file", e.Name())); err != nil { // it was being written
			return err
		}
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// tidyMetainfo removes descriptions of what is not here.
func (s *shelf) tidyMetainfo() error {
	entries, err := os.ReadDir(filepath.Join(s.dir, "metainfo"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch key, half, ok := ours(e.Name(), ".torrent"); {
		case !ok:
			s.foreign = append(s.foreign, filepath.Join("metainfo", e.Name()))
		case half || s.held[key] == nil:
			if err := os.RemoveAll(filepath.Join(s.dir, "metainfo", e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
