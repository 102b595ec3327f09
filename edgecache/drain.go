package edgecache

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"
)

// Drain has the other edges take over what this one keeps, and leaves the cluster when they have. It goes on serving what it has.
// Pins are this edge's own: what is only pinned nobody takes over, and Status says what of that no other edge has. Drained already, it looks at that again.
func (e *Edge) Drain() error {
	if e.ring == nil {
		return errors.New("the edge is alone: nobody can take over what it keeps")
	}
	if !slices.ContainsFunc(e.ring.alike(), func(m Member) bool { return m.Name != e.self() && !m.Draining }) {
		return errors.New("there is no other edge in the cluster that follows the same apps, and could take over what this one keeps")
	}
	if e.ring.drained.Load() {
		e.mu.Lock()
		ctx := e.running
		e.mu.Unlock()
		e.ring.setOnlyHere(e.onlyHere(ctx))
		return nil
	}
	e.ring.drain()
	e.spawn(e.handOver)
	return nil
}

// drainTime is how often it is looked whether everything was taken over.
const drainTime = time.Second

// handOver waits until what is here is where it is to be now.
func (e *Edge) handOver() {
	e.mu.Lock()
	ctx := e.running
	e.mu.Unlock()
	if ctx == nil {
		return
	}
	tick := time.NewTicker(drainTime)
	defer tick.Stop()
	for e.left(ctx) > 0 {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
	only := e.onlyHere(ctx)
	e.ring.setOnlyHere(only)
	e.ring.leave()
	e.cfg.Log.Info("the others have taken over what was kept here")
	if only != nil {
		e.cfg.Log.Warn("what is pinned here no other edge has: to have it kept near, pin it at another one", "names", only.Names, "bytes", only.Bytes)
	}
}

// left is how many contents are here, and not yet at all those that are to keep them.
func (e *Edge) left(ctx context.Context) (n int) {
	all, _ := e.offered()
	for _, key := range e.shelf.keys() {
		h, _ := e.shelf.get(key)
		if k := all[key]; k == nil || h.file || !h.whole || !k.followed(e.cfg.Apps) {
			continue
		}
		own, have := e.holders(ctx, key, false)
		taken := len(own) > 0 // else they have gone meanwhile that were to have it
		for _, m := range own {
			taken = taken && (m.Name == e.self() || have[m.Name] == holdsWhole)
		}
		if !taken {
			n++
		}
	}
	return n
}

// onlyHere is what is pinned and whole here, and with no other edge; nil: nothing.
func (e *Edge) onlyHere(ctx context.Context) *Lack {
	only := map[string]*known{}
	for name := range e.shelf.pinned(e.cfg.Now()) {
		for _, k := range e.named(name) {
			if h, _ := e.shelf.get(k.key); !h.whole || h.file {
				continue
			}
			_, have := e.holders(ctx, k.key, false)
			if !slices.Contains(slices.Collect(maps.Values(have)), holdsWhole) {
				only[k.key] = k
			}
		}
	}
	return lackOf(only)
}

func (r *ring) setOnlyHere(l *Lack) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.onlyHere = l
}
