package edgecache

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"shoal/piece"
)

// mend takes a content for not whole any more. It is read before it is served; what is wrong in it is fetched again, at once where it was read: wrong says so.
// seen is the content of which somebody has found that, nil for any: another one was mended meanwhile.
func (e *Edge) mend(key string, seen *content, wrong bool) {
	e.mending.Lock()
	defer e.mending.Unlock()
	h, ok := e.shelf.get(key)
	if !ok || !h.whole || h.dropped {
		return // somebody else has noticed
	}
	e.mu.Lock()
	c := e.contents[key]
	e.mu.Unlock()
	if seen != nil && seen != c {
		return
	}
	if c != nil {
		t, whole, _ := c.state()
		if !whole {
			return // it is being read or fetched, and looked at again when it is whole
		}
		if t != nil {
			t.Close()
		}
	}
	var k *known
	if wrong {
		k, _, _ = e.find(key)
		e.clearAway(key)
	} else {
		k = e.knownAs(key, h)
	}
	written := e.shelf.written(key)
	// At once: what is begun while the shelf takes it for whole is not read; and until another content has its place, those who ask find this one, and wait here.
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.contents[key] != c {
		return // somebody has begun with it, or it is gone
	}
	delete(e.contents, key)
	e.close(key)
	if wrong {
		e.doubt(key, written)
	} else {
		e.shelf.suspect(key, written)
	}
	if k == nil {
		e.nudge()
		return
	}
	e.begin(k)
}

// condemn notes that a content was read and is not what it was. Its files stay: what is right in them is not fetched again.
func (e *Edge) condemn(key string) {
	e.clearAway(key)
	e.doubt(key, e.shelf.written(key))
}

func (e *Edge) clearAway(key string) {
	if err := e.clearWay(key); err != nil {
		e.cfg.Log.Warn("mending a content", "infohash", key, "err", err)
	}
}

func (e *Edge) doubt(key string, written int64) {
	if err := e.shelf.doubt(key, written); err != nil {
		e.cfg.Log.Error("a content that has changed cannot be taken back", "infohash", key, "err", err)
	}
	e.count.mended.Add(1)
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
					e.cfg.Log.Warn("a content does not look as it did, and is read and compared", "name", h.name, "infohash", key, "err", err)
					e.mend(key, nil, false)
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

// clearWay removes what stands where a content has files and directories, and is none: no content can be in it.
func (e *Edge) clearWay(key string) error {
	t, err := piece.ReadFile(e.shelf.torrentPath(key))
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(e.shelf.contentDir(key))
	if err != nil {
		return err
	}
	defer root.Close()
	seen := map[string]bool{}
	clear := func(name string, isDir bool) error {
		if seen[name] {
			return nil
		}
		seen[name] = true
		fi, err := root.Lstat(name)
		if err != nil || fi.IsDir() == isDir {
			return nil // it is not there, or not in the way
		}
		return root.RemoveAll(name)
	}
	for i := range t.Files {
		name := t.Name
		if t.Dir {
			for _, part := range t.Files[i].Path {
				if err := clear(name, true); err != nil {
					return err
				}
				name = filepath.Join(name, part)
			}
		}
		if err := clear(name, false); err != nil {
			return err
		}
	}
	return nil
}
