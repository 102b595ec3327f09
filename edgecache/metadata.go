package edgecache

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// What is no content takes of the quota as well: signed files, what the DHT leads to, demand, pins. It has to be here for anything to be served, so contents go for it, whatever
// they are worth; but room is found before it is written, as for them. Some is spare for it at all times, so that hardly ever something goes: what of that is used up
// is made up for by what goes next.

// leastSpare is what stays spare in any case, in bytes: for what is written beside, a file at a time, before it takes the place of another.
const leastSpare = 512 << 10

// crowdedTime is how long an origin is left alone whose signed files had no room: contents go for them each time, and come again after it.
const crowdedTime = 10 * time.Minute

// errNoMetadataRoom says that signed files cannot be kept.
var errNoMetadataRoom = errors.New("there is no room for its signed files, with everything gone that may go: a larger --quota, a smaller --keep-free, more of the disk, or less that is pinned would give it")

// taken is how much of the quota is taken or promised, without what is spare. s.mu is held.
func (s *shelf) taken() int64 {
	n := s.meta
	for _, h := range s.held {
		n += h.cost
	}
	return n
}

// spare is how much room there is to be for more metadata. s.mu is held.
func (s *shelf) spare() int64 { return s.meta/4 + 2*leastSpare }

// used is what may not be given to contents any more. s.mu is held.
func (s *shelf) used() int64 { return s.taken() + s.spare() }

// writing says that somebody may be given room for metadata, and have it not yet on the disk, until end is called.
func (s *shelf) writing() (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writers++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.writers--
	})
}

// measure takes bytes for how much metadata there is. While somebody writes some, that would be less than was given, and what is known stays: it is no less than there is.
func (s *shelf) measure(bytes func() int64) {
	s.measuring.Lock()
	defer s.measuring.Unlock()
	s.mu.Lock()
	quiet, before := s.writers == 0, s.grown
	s.mu.Unlock()
	if !quiet {
		return
	}
	n := bytes()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writers == 0 && s.grown == before {
		s.meta, s.measured = n, before
	}
}

// shrink removes metadata, and gives back the bytes that it took.
func (s *shelf) shrink(remove func() int64) {
	s.measuring.Lock() // else it might be taken off twice
	defer s.measuring.Unlock()
	n := remove()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.meta -= n
}

// hasGrown says whether there is more metadata, as far as the shelf knows, than when it was measured.
func (s *shelf) hasGrown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.grown != s.measured
}

// grow takes room for n bytes more of metadata, as reserve does for contents; without is a content that does not go for it. An error is errNoMetadataRoom, or about
// the disk.
func (s *shelf) grow(n int64, without string, at func(key string) status, now time.Time) (victims []string, err error) {
	free, err := s.free(s.dir)
	if err != nil {
		return nil, err
	}
	items, coming := s.items(at, without)
	s.mu.Lock()
	defer s.mu.Unlock()
	gone, ok := evict(items, max(s.taken()+n+leastSpare-s.quota, n+coming+s.floor-free), now)
	if !ok {
		return nil, errNoMetadataRoom
	}
	if len(gone) == 0 {
		s.meta += n
		s.grown += n
	}
	return keysOf(gone), nil
}

// replaces takes of the spare room what it needs to replace a file of the shelf's own. s.mu is held.
func (s *shelf) replaces(path string, b []byte) error {
	if s.taken()+blocks(int64(len(b))) > s.quota { // the old one is there until it is written
		return errNoRoom
	}
	n := growth(path, int64(len(b)))
	s.meta += n
	s.grown += n
	return nil
}

// growth is how much more of the disk it takes when a file of n bytes is written to path.
func growth(path string, n int64) int64 {
	n = fileCost(n)
	if fi, err := os.Lstat(path); err == nil {
		return n - fileCost(fi.Size())
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(dir); err == nil || dir == filepath.Dir(dir) {
			return n
		}
		n += blockBytes
	}
}

// metadataRoom has contents go until there is room for more metadata, but not the one that has the key and that it is for.
func (e *Edge) metadataRoom(key string) room {
	return func(ctx context.Context, n int64) error {
		return e.admit(ctx, "quota", func() ([]string, error) { return e.shelf.grow(n, key, e.status, e.cfg.Now()) })
	}
}

// spareRoom is room for which nothing goes.
func (e *Edge) spareRoom(_ context.Context, n int64) error {
	victims, err := e.shelf.grow(n, "", e.status, e.cfg.Now())
	if err == nil && len(victims) > 0 {
		err = errNoMetadataRoom
	}
	return err
}

// measure tells the shelf how much metadata there is: all of the state directory but contents.
func (e *Edge) measure() {
	e.shelf.measure(func() (n int64) {
		entries, err := os.ReadDir(e.cfg.StateDir)
		if err != nil {
			e.cfg.Log.Error("the state directory cannot be read", "err", err)
		}
		n = sizeOf(e.cfg.StateDir)
		for _, x := range entries {
			path := filepath.Join(e.cfg.StateDir, x.Name())
			switch x.Name() {
			case "content", "metainfo", "file":
				n += sizeOf(path)
			default:
				n += treeBytes(path)
			}
		}
		return n
	})
}

// lighten makes up for what was used of the spare room: descriptions of what is not here go first, then contents.
func (e *Edge) lighten(ctx context.Context, now time.Time) {
	if e.shelf.short() <= 0 {
		return
	}
	e.shelf.shrink(func() (n int64) {
		for _, f := range e.feeds {
			n += f.repository.mirror.forgetMetainfo(func(key string) bool {
				e.mu.Lock()
				defer e.mu.Unlock()
				_, held := e.shelf.get(key)
				return held || e.contents[key] != nil
			})
		}
		return n
	})
	for _, key := range e.shelf.over(e.status, now) {
		if err := e.drop(ctx, key, "quota"); err != nil {
			e.cfg.Log.Error("the quota cannot be kept", "err", err)
			return
		}
	}
}
