package edgecache

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"shoal/internal/disk"
	"shoal/internal/release"
)

const (
	timestampPath  = "metadata/timestamp.json"
	checkpointPath = "log/checkpoint"
	indexPrefix    = "log/index/"
)

// mirror is a copy of a repository's signed files, from which others can be served when its origin is down. Files that never change are kept as they come;
// those that do are put aside and take effect together, when everything they lead to is here: it is a release.Files that remembers.
type mirror struct {
	dir  string
	up   release.Files
	room room // of what is read as metadata
	// writing is called before room is asked for, and the end that it returns when what has room is written.
	writing func() (end func())
	// offline has only what is here read, while that is gone through.
	offline atomic.Bool

	mu    sync.Mutex
	aside map[string][]byte    // what publish is to write
	end   func()               // of writing, if something was given room since the last publish; else nil
	fresh []string             // files that were kept since the last publish, and not yet found to be right
	old   map[string]time.Time // files that no state has a use for, and since when as far as this run knows
}

// room finds room for n bytes before they are written. Nil: there is any.
type room func(ctx context.Context, n int64) error

func newMirror(dir string, up release.Files, room room, writing func() (end func())) *mirror {
	return &mirror{dir: dir, up: up, room: room, writing: writing, aside: map[string][]byte{}, old: map[string]time.Time{}}
}

// changes says whether a file is replaced now and then.
func changes(path string) bool {
	return path == timestampPath || path == checkpointPath || strings.HasPrefix(path, indexPrefix)
}

// Get implements release.Files.
func (m *mirror) Get(ctx context.Context, path string, limit int64, tag string) ([]byte, string, error) {
	if !changes(path) {
		if b, _, err := release.Dir(m.dir).Get(ctx, path, limit, ""); !errors.Is(err, release.ErrAbsent) {
			return b, "", err
		}
	}
	if m.offline.Load() {
		return nil, "", release.ErrAbsent
	}
	b, newTag, err := m.up.Get(ctx, path, limit, tag)
	if err == nil {
		m.begin()
		err = m.reserve(ctx, path, b, m.room) // also for what is put aside: who publishes it cannot wait
	}
	if err != nil {
		return nil, "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if changes(path) {
		m.aside[path] = b
		return b, newTag, nil
	}
	m.fresh = append(m.fresh, path)
	return b, newTag, m.write(path, b)
}

// bring has a file here that never changes, if it is not yet. Whether it is what was signed is for whoever reads it to find out, and forget takes it back.
func (m *mirror) bring(ctx context.Context, up release.Files, path string, limit int64, room room) error {
	if _, err := os.Stat(m.path(path)); err == nil {
		return nil
	}
	b, _, err := up.Get(ctx, path, limit, "")
	if err != nil {
		return err
	}
	defer m.writing()()
	if err := m.reserve(ctx, path, b, room); err != nil {
		return err
	}
	return m.write(path, b)
}

// begin says that something is written until publish or abandon.
func (m *mirror) begin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.end == nil {
		m.end = m.writing()
	}
}

// settle forgets what has come since the last publish. m.mu is held.
func (m *mirror) settle() {
	m.fresh = nil
	clear(m.aside)
	if m.end != nil {
		m.end()
		m.end = nil
	}
}

func (m *mirror) reserve(ctx context.Context, path string, b []byte, room room) error {
	if n := growth(m.path(path), int64(len(b))); n > 0 && room != nil {
		return room(ctx, n)
	}
	return nil
}

func (m *mirror) path(path string) string { return filepath.Join(m.dir, filepath.FromSlash(path)) }

func (m *mirror) forget(path string) { os.Remove(m.path(path)) }

func (m *mirror) write(path string, b []byte) error {
	to := m.path(path)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return disk.ReplaceFile(to, b, 0o644)
}

// publish has what was put aside take effect: the timestamp last.
func (m *mirror) publish() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	paths := make([]string, 0, len(m.aside))
	for path := range m.aside {
		paths = append(paths, path)
	}
	slices.Sort(paths) // log/… before metadata/timestamp.json
	for _, path := range paths {
		if err := m.write(path, m.aside[path]); err != nil {
			return err
		}
	}
	m.settle()
	return nil
}

// abandon forgets what has come since the last publish: it was found to be wrong, or cannot be told to be right.
func (m *mirror) abandon() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, path := range m.fresh {
		m.forget(path) // what stays is found to be wrong again, by whoever reads it
	}
	m.settle()
}

// oldTime is how long a file stays that the newest state has no use for: machines in the midst of an update read the state that they began with.
const oldTime = 24 * time.Hour

// leaves says whether a file may fall out of use. Roots and whole tiles of the log are read by whoever was away, however long.
func leaves(path string) bool {
	switch {
	case strings.HasPrefix(path, "metadata/"):
		return !changes(path) && !strings.HasSuffix(path, ".root.json")
	case strings.HasPrefix(path, "log/"):
		return strings.Contains(path, ".p/")
	}
	return strings.HasPrefix(path, "targets/")
}

// mark notes which files the newest state has no use for.
func (m *mirror) mark(used func(path string) bool, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := map[string]time.Time{}
	filepath.WalkDir(m.dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		path, err := filepath.Rel(m.dir, file)
		if path = filepath.ToSlash(path); err != nil || !leaves(path) || used(path) {
			return nil
		}
		since, ok := m.old[path]
		if !ok {
			since = now
		}
		old[path] = since
		return nil
	})
	m.old = old
}

// tidy removes files that have been of no use for oldTime.
func (m *mirror) tidy(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for path, since := range m.old {
		if now.Sub(since) >= oldTime {
			m.forget(path)
			delete(m.old, path)
		}
	}
}

// forgetMetainfo removes descriptions of contents that nobody keeps, and returns how many bytes of the disk they took.
func (m *mirror) forgetMetainfo(kept func(key string) bool) (n int64) {
	const dir = "targets/metainfo"
	entries, _ := os.ReadDir(m.path(dir))
	for _, e := range entries {
		if key, ok := metainfoKey(dir + "/" + e.Name()); ok && !kept(key) {
			n += sizeOf(m.path(dir + "/" + e.Name()))
			m.forget(dir + "/" + e.Name())
		}
	}
	return n
}

// published is the mirror as others see it, with what was put aside where that is newer.
type published struct {
	m     *mirror
	aside bool
	here  atomic.Bool // nothing is asked of anybody any more: who waits for what is read would wait for an origin

	mu   sync.Mutex
	read map[string]bool // what was, until then
}

// Get implements release.Files.
func (p *published) Get(ctx context.Context, path string, limit int64, _ string) ([]byte, string, error) {
	if p.here.Load() {
		return release.Dir(p.m.dir).Get(ctx, path, limit, "")
	}
	p.note(path)
	if changes(path) {
		p.m.mu.Lock()
		b, taking := p.m.aside[path], p.m.aside[timestampPath] != nil
		p.m.mu.Unlock()
		if b != nil && p.aside {
			return b, "", nil
		}
		if p.aside && taking && strings.HasPrefix(path, indexPrefix) {
			return p.m.Get(ctx, path, limit, "") // what is here is of the state before; the checkpoint was asked for with the timestamp
		}
		if b, _, err := release.Dir(p.m.dir).Get(ctx, path, limit, ""); err == nil || !p.aside || !errors.Is(err, release.ErrAbsent) {
			return b, "", err
		}
	}
	return p.m.Get(ctx, path, limit, "")
}

func (p *published) note(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.read == nil {
		p.read = map[string]bool{}
	}
	p.read[path] = true
}

// uses says whether a new client, or this edge, has a use for a file of the state that was read, of which c is what it has on offer.
func (p *published) uses(path string, c *catalog) bool {
	key, metainfo := metainfoKey(path)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.read[path] || metainfo && c.byKey[key] != nil
}

// treeBytes is how much of the disk is taken by a file or a directory with all that is in it, about.
func treeBytes(path string) (n int64) {
	filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
		if err == nil {
			n += sizeOf(path)
		}
		return nil
	})
	return n
}

// sizeOf is how much of the disk is taken by a file, or a directory without what is in it.
func sizeOf(path string) int64 {
	fi, err := os.Lstat(path)
	switch {
	case err != nil:
		return 0
	case fi.IsDir():
		return max(blocks(fi.Size()), blockBytes)
	}
	return fileCost(fi.Size())
}
