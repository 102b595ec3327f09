package edgecache

import (
	"context"
	"path/filepath"

	"shoal/internal/deliver"
)

// keepState gives others the state of an origin's repository until ctx is done, so that they find the repository in the DHT when the origin is down. It lies in the
// state directory under state/REPOSITORY.
func (e *Edge) keepState(ctx context.Context, f *feed) {
	var c *catalog
	for c == nil || c.id == "" {
		select {
		case <-ctx.Done():
			return
		case <-f.news:
		}
		c, _ = f.state()
	}
	if !e.claimState(c.id) {
		return
	}
	var at deliver.Found
	f.repository.up.Sources(&at, "")
	s := deliver.Swarm{Node: e.cfg.Node, Items: e.cfg.Items, Peers: at.Peers}
	written := func() {} // ends what Room begins
	defer func() { written() }()
	s.KeepState(ctx, deliver.StateKeeping{
		Keys: f.repository.items,
		Dir:  filepath.Join(e.cfg.StateDir, "state", c.id),
		Room: func(ctx context.Context, n int64) error {
			written = e.shelf.writing()
			return e.metadataRoom("")(ctx, n+n/16+64<<10) // with the journal of its fetch
		},
		Version: func() int64 {
			now, _ := f.state()
			return now.version
		},
		News: f.news,
		Ready: func(version int64) {
			e.cfg.Log.Info("a repository's state is given to others", "origin", f.url.Redacted(), "version", version)
			written()
			e.measure()
		},
		Failed: func(err error) {
			written()
			e.cfg.Log.Info("a repository's state is not given to others yet", "origin", f.url.Redacted(), "err", err)
		},
	})
}

// claimState says whether the state of a repository is to be kept for this feed: it is kept for one of those that have it.
func (e *Edge) claimState(id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	first := !e.states[id]
	e.states[id] = true
	return first
}
