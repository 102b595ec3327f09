package edgecache

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// ErrAlone says that nobody can take over what an edge keeps.
var ErrAlone = errors.New("nobody can take over what this edge keeps")

// Drain has the other edges take over what this one keeps, and leaves the cluster when they have. It goes on serving what it has.
// Pins are this edge's own: what is only pinned nobody takes over, and Status says what of that no other edge has. Drained already, it looks at that again. The error may be ErrAlone.
func (e *Edge) Drain() error {
	if e.ring == nil {
		return fmt.Errorf("%w: it is alone", ErrAlone)
	}
	if !slices.ContainsFunc(e.ring.alike(), func(m Member) bool { return m.Name != e.self() && !m.Draining }) {
		return fmt.Errorf("%w: there is no other edge in its cluster that follows the same apps", ErrAlone)
	}
	if e.ring.drained.Load() {
		e.mu.Lock()
		ctx := e.running
		e.mu.Unlock()
		e.ring.setOnlyHere(e.onlyHere(ctx))
		return nil
	}
	if e.ring.drain() {
		e.spawn(e.handOver)
	}
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
	for {
		left, full := e.left(ctx)
		e.ring.setLeft(left, full)
		if left == nil {
			break
		}
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

// left is what is here, and not yet at all those that are to keep it; full is what of that one of them has no room for. nil: nothing.
func (e *Edge) left(ctx context.Context) (left, full *Lack) {
	all, _ := e.offered()
	untaken, refused := map[string]*known{}, map[string]*known{}
	for _, key := range e.shelf.keys() {
		h, _ := e.shelf.get(key)
		k := all[key]
		if k == nil || h.file || !h.whole || !k.followed(e.cfg.Apps) {
			continue
		}
		own, have := e.holders(ctx, key, false)
		if len(own) == 0 { // they have gone meanwhile that were to have it
			untaken[key] = k
		}
		for _, m := range own {
			if m.Name != e.self() && have[m.Name] != holdsWhole {
				untaken[key] = k
			}
			if have[m.Name] == holdsFull {
				refused[key] = k
			}
		}
	}
	return lackOf(untaken), lackOf(refused)
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

func (r *ring) setLeft(left, full *Lack) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left, r.full = left, full
}
