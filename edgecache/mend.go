package edgecache

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"shoal/internal/deliver"
	"shoal/internal/disk"
	"shoal/piece"
)

// mend takes a content for not whole any more: what is wrong in it is fetched again before it is served.
func (e *Edge) mend(key string) {
	e.mending.Lock()
	defer e.mending.Unlock()
	if h, ok := e.shelf.get(key); !ok || !h.whole || h.dropped {
		return // somebody else has noticed
	}
	e.mu.Lock()
	c := e.contents[key]
	delete(e.contents, key)
	e.mu.Unlock()
	if c != nil {
		if t, _, _ := c.state(); t != nil {
			t.Close()
		}
	}
	e.shut(key)
	if err := e.clearChanged(key, e.shelf.left()); err != nil {
		e.cfg.Log.Warn("mending a content", "infohash", key, "err", err)
	}
	if err := e.shelf.doubt(key); err != nil {
		e.cfg.Log.Error("a content that has changed cannot be taken back", "infohash", key, "err", err)
	}
	e.count.mended.Add(1)
	if k, _, _ := e.find(key); k != nil {
		e.want(k, false)
	} else {
		e.nudge()
	}
}

// look compares what is here with what it looked like when it was verified, one content after another, without reading it.
func (e *Edge) look(ctx context.Context) {
	tick := time.NewTicker(lookTime)
	defer tick.Stop()
	for {
		for _, key := range e.shelf.keys() {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			h, ok := e.shelf.get(key)
			if !ok || !h.whole || h.dropped || h.file {
				continue
			}
			if err := e.shelf.unchanged(key); err != nil {
				if now, ok := e.shelf.get(key); ok && now.whole && !now.dropped {
					e.cfg.Log.Warn("a content has changed on disk, and is fetched again where it has", "name", h.name, "infohash", key, "err", err)
					e.mend(key)
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// lookTime is how long it is waited between two contents.
const lookTime = 200 * time.Millisecond

// clearChanged removes those files of a content that are not what was verified, as far as there is no room to mend them: mending takes a copy.
func (e *Edge) clearChanged(key string, room int64) error {
	r, err := readRecord(e.shelf.recordPath(key))
	if err != nil {
		return err
	}
	t, err := piece.ReadFile(e.shelf.torrentPath(key))
	if err != nil {
		return err
	}
	path := filepath.Join(e.shelf.contentDir(key), t.Name)
	for i := range t.Files {
		fi, err := os.Lstat(deliver.FileOf(t.Info, path, i))
		if err != nil || i < len(r.Stamps) && disk.StampOfInfo(fi).Equal(r.Stamps[i]) {
			continue
		}
		if fi.Mode().IsRegular() && fi.Size() <= room {
			continue
		}
		if err := os.RemoveAll(deliver.FileOf(t.Info, path, i)); err != nil {
			return fmt.Errorf("removing what has changed: %w", err)
		}
	}
	return nil
}
