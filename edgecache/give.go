package edgecache

import (
	"context"
	"path/filepath"
	"sync"
	"time"

	"shoal/internal/disk"
	"shoal/piece"
	"shoal/swarm"
)

// restore offers what is whole from the run before.
func (e *Edge) restore() {
	for _, key := range e.shelf.keys() {
		h, _ := e.shelf.get(key)
		if !h.whole {
			continue
		}
		if h.file {
			c := newContent(&known{key: key, name: h.name, bytes: h.bytes})
			c.whole = true
			close(c.ready)
			e.mu.Lock()
			e.contents[key] = c
			e.mu.Unlock()
			continue
		}
		if err := e.offer(key, h); err != nil {
			e.cfg.Log.Warn("a content does not look as it did, and is read and compared", "name", h.name, "infohash", key, "err", err)
			e.mend(key, nil, false)
		}
	}
}

// offer gives a whole content to others.
func (e *Edge) offer(key string, h held) error {
	if err := e.shelf.unchanged(key); err != nil {
		return err
	}
	c := newContent(e.knownAs(key, h))
	if err := e.give(c); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.contents[key] = c
	return nil
}

// give seeds a content that is whole, from where it lies.
func (e *Edge) give(c *content) error {
	spec, err := e.seedSpec(c.known, nil)
	if err != nil {
		return err
	}
	t, err := e.cfg.Node.Add(spec)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.transfer, c.whole = t, true
	c.mu.Unlock()
	c.open()
	return nil
}

// knownAs is a content of the shelf as a catalog has it, or while none is known as the shelf does.
func (e *Edge) knownAs(key string, h held) *known {
	if k, _, _ := e.find(key); k != nil {
		return k
	}
	return &known{key: key, name: h.name, bytes: h.bytes}
}

// seedSpec is how a whole content is given to others: described when somebody asks.
func (e *Edge) seedSpec(k *known, trackers [][]string) (swarm.Spec, error) {
	t, err := piece.ReadFile(e.shelf.torrentPath(k.key))
	if err != nil {
		return swarm.Spec{}, err
	}
	spec := swarm.Spec{V1: t.V1, V2: t.V2, HasV1: t.HasV1, HasV2: t.HasV2, Private: t.Private, Content: filepath.Join(e.shelf.contentDir(k.key), t.Name), Trackers: trackers}
	spec.Alias, _ = t.AliasV1()
	k.gossip(&spec)
	var mu sync.Mutex
	var stamps []disk.Stamp
	spec.Load = func() (*piece.Torrent, error) {
		r, err := readRecord(e.shelf.recordPath(k.key))
		if err != nil {
			return nil, err
		}
		mu.Lock()
		defer mu.Unlock()
		stamps = r.Stamps
		return piece.ReadFile(e.shelf.torrentPath(k.key))
	}
	spec.Stamps = func(i int) (disk.Stamp, bool) {
		mu.Lock()
		defer mu.Unlock()
		if i < len(stamps) {
			return stamps[i], true
		}
		return disk.Stamp{}, true
	}
	return spec, nil
}

// settle has a content that was just fetched seeded from where it lies, and told to its trackers, once nobody would be cut off by that: it costs nothing then
// while nobody asks.
func (e *Edge) settle(ctx context.Context, c *content) {
	c.mu.Lock()
	t := c.transfer
	fetched := c.torrent != nil
	ripe := c.whole && !c.swapped && c.serving == 0 && t != nil && c.from != nil && (t.Stats().Peers == 0 || time.Since(c.since) > settleTime)
	ripe = ripe && (fetched || e.reached.Load())
	if ripe {
		c.swapped = true
	}
	c.mu.Unlock()
	if !ripe {
		return
	}
	found, err := c.from.find(ctx, c.known)
	if err != nil {
		return
	}
	spec, err := e.seedSpec(c.known, found.Trackers)
	if err != nil {
		return
	}
	e.swap(c, t, spec)
}

// swap gives a content by another transfer, unless it is taken back or removed meanwhile: then nobody would ever end that, and the content could not be fetched again.
func (e *Edge) swap(c *content, t *swarm.Transfer, spec swarm.Spec) {
	e.mending.Lock()
	defer e.mending.Unlock()
	e.mu.Lock()
	here := e.contents[c.key] == c
	e.mu.Unlock()
	if !here {
		return
	}
	t.Close()
	next, err := e.cfg.Node.Add(spec)
	if err != nil {
		e.cfg.Log.Warn("a content is not given to peers any more", "infohash", c.key, "err", err)
		return
	}
	c.mu.Lock()
	dropped := c.err != nil
	c.transfer, c.torrent = next, nil
	c.mu.Unlock()
	if dropped {
		next.Close()
	}
}

// settleTime is how long a transfer that is done goes on with the connections it has.
const settleTime = 5 * time.Minute
