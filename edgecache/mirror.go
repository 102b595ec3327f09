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
	dir string
	up  release.Files
	// offline has only what is here read, while that is gone through.
	offline atomic.Bool

	mu    sync.Mutex
	aside map[string][]byte // what publish is to write
	fresh []string          // files that were kept since the last publish, and not yet found to be right
}

func newMirror(dir string, up release.Files) *mirror {
	return &mirror{dir: dir, up: up, aside: map[string][]byte{}}
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
func (m *mirror) bring(ctx context.Context, path string, limit int64) error {
	if _, err := os.Stat(filepath.Join(m.dir, filepath.FromSlash(path))); err == nil {
		return nil
	}
	b, _, err := m.up.Get(ctx, path, limit, "")
	if err != nil {
		return err
	}
	return m.write(path, b)
}

func (m *mirror) forget(path string) { os.Remove(filepath.Join(m.dir, filepath.FromSlash(path))) }

func (m *mirror) write(path string, b []byte) error {
	to := filepath.Join(m.dir, filepath.FromSlash(path))
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
	clear(m.aside)
	m.fresh = nil
	return nil
}

// abandon forgets what has come since the last publish: it was found to be wrong, or cannot be told to be right.
func (m *mirror) abandon() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, path := range m.fresh {
		m.forget(path) // what stays is found to be wrong again, by whoever reads it
	}
	m.fresh = nil
	clear(m.aside)
}

// published is the mirror as others see it, with what was put aside where that is newer.
type published struct {
	m     *mirror
	aside bool
	here  atomic.Bool // nothing is asked of anybody any more: who waits for what is read would wait for an origin
}

// Get implements release.Files.
func (p *published) Get(ctx context.Context, path string, limit int64, _ string) ([]byte, string, error) {
	if p.here.Load() {
		return release.Dir(p.m.dir).Get(ctx, path, limit, "")
	}
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

// treeBytes is how much of the disk is taken below a directory, about.
func treeBytes(dir string) (n int64) {
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		n += blockBytes
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
		return nil
	})
	return n
}
