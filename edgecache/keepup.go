package edgecache

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"shoal/swarm"
)

const (
	// keepTime is how often the edge looks what there is to do when nothing has happened.
	keepTime = time.Second
	saveTime = time.Minute
)

// keepUp holds what is here against what is to be here, until ctx is done.
func (e *Edge) keepUp(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	saved := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-e.poke:
		}
		now := e.cfg.Now()
		e.step(ctx, now)
		e.begun.Store(true)
		if time.Since(saved) > saveTime {
			saved = time.Now()
			if err := e.shelf.saveHeats(); err != nil {
				e.cfg.Log.Warn("demand cannot be remembered", "err", err)
			}
		}
		wait := keepTime
		if e.cfg.Fill != nil {
			if next, ok := e.cfg.Fill.Next(now); ok {
				wait = max(0, min(wait, next.Sub(now)))
			}
		}
		timer.Reset(wait)
	}
}

// step does what there is to do at a time.
func (e *Edge) step(ctx context.Context, now time.Time) {
	all, sure := e.offered()
	e.place(all, now)
	e.leaveOut(ctx, all, sure)
	e.fillUp(all, now)
	e.lighten(ctx, now)
	e.mu.Lock()
	list := slices.Collect(maps.Values(e.contents))
	e.mu.Unlock()
	for _, c := range list {
		e.countPeers(c, now)
		e.settle(ctx, c)
	}
}

// offered are all contents of all origins; sure says that no catalog is missing.
func (e *Edge) offered() (all map[string]*known, sure bool) {
	all, sure = map[string]*known{}, true
	for _, f := range e.feeds {
		c, _ := f.state()
		if c == nil {
			sure = false
			continue
		}
		for key, k := range c.byKey {
			if all[key] == nil || !all[key].followed(e.cfg.Apps) {
				all[key] = k
			}
		}
	}
	return all, sure
}

// place finds out what is pinned, and what is to be here: what is followed, or by the ring this edge's part of it.
func (e *Edge) place(all map[string]*known, now time.Time) {
	pinned := map[string]bool{}
	for name := range e.shelf.pinned(now) {
		for _, k := range e.named(name) {
			pinned[k.key] = true
		}
	}
	owned := map[string]bool{}
	var followed []string
	for key, k := range all {
		if k.sharedOut(e.cfg.Apps) {
			followed = append(followed, key)
			owned[key] = true
		}
	}
	ok := true
	if e.ring != nil {
		owned, ok = e.ring.assign(followed, time.Now())
	}
	for key, k := range all {
		if k.isFile() && owned[k.tree] {
			owned[key] = true
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.pinned = pinned; ok {
		e.owned = owned
	}
	e.fewerLack()
}

// toBeHere says whether a content is followed by this edge or pinned. e.mu is held.
func (e *Edge) toBeHere(key string) bool { return e.owned[key] || e.pinned[key] }

// named are the contents that a user means by APP:CHANNEL, APP@VERSION (with its archive, the patches to it and its index), an info hash, or the name of a content.
func (e *Edge) named(name string) (list []*known) {
	for _, f := range e.feeds {
		c, _ := f.state()
		if c == nil {
			continue
		}
		ref := name
		if app, channel, ok := cutRef(name, ":"); ok {
			ref = app + "@" + c.channels[app+":"+channel]
		}
		list = slices.Concat(list, c.byRef[ref], c.ways[ref])
		if k := c.byKey[name]; k != nil {
			list = append(list, k)
		}
		for _, k := range c.byKey {
			if k.app == "" && k.name == name {
				list = append(list, k)
			}
		}
	}
	return list
}

// leaveOut removes what its publisher has taken back, and what no origin has any more.
func (e *Edge) leaveOut(ctx context.Context, all map[string]*known, sure bool) {
	for _, key := range e.shelf.keys() {
		if all[key] != nil {
			continue
		}
		_, withdrawn, _ := e.find(key)
		why := "gone"
		switch {
		case withdrawn:
			why = "withdrawn"
		case !sure:
			continue
		}
		if err := e.drop(ctx, key, why); err != nil {
			e.cfg.Log.Error("a content cannot be removed", "infohash", key, "err", err)
		}
	}
}

// fillUp fetches ahead what is to be here and is not, and stops that when its window closes.
func (e *Edge) fillUp(all map[string]*known, now time.Time) {
	e.mu.Lock()
	var missing []fill
	for key, k := range all {
		h, _ := e.shelf.get(key)
		c := e.contents[key]
		if h.whole || h.suspect && c != nil || c != nil && c.demands() || !e.toBeHere(key) || c == nil && time.Now().Before(e.later[key]) {
			continue
		}
		if t, _ := e.shelf.get(k.tree); k.isFile() && !t.whole {
			continue
		}
		missing = append(missing, fill{key: key, heat: e.shelf.heat(key).now(now), pinned: e.pinned[key], published: k.published, running: c != nil})
	}
	e.mu.Unlock()
	rate, open := int64(0), true
	if e.cfg.Fill != nil {
		rate, open = e.cfg.Fill.At(now)
	}
	start, stop, each := plan(missing, rate, open)
	for _, key := range stop {
		e.mu.Lock()
		c := e.contents[key]
		e.mu.Unlock()
		if c != nil && c.stop != nil {
			c.stop()
		}
	}
	for _, f := range missing {
		if slices.Contains(stop, f.key) || !f.running && !slices.Contains(start, f.key) {
			continue
		}
		c := e.want(all[f.key], false)
		if !c.demands() {
			c.pace.Set(each)
		}
	}
}

// mayFill says whether something may be fetched ahead at a time.
func (e *Edge) mayFill(now time.Time) bool {
	if e.cfg.Fill == nil {
		return true
	}
	_, open := e.cfg.Fill.At(now)
	return open
}

// demands says whether somebody waits for a content.
func (c *content) demands() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.demanded
}

// fill is a content that is to be here and is not, and that nobody waits for.
type fill struct {
	key       string
	heat      float64
	pinned    bool
	published time.Time
	running   bool // it is being fetched
}

// plan decides what is fetched ahead: while the window is open, up to maxFills contents, pinned and popular ones first; else nothing. rate is for all
// together, 0 is no bound; each is what one of them may have of it.
func plan(missing []fill, rate int64, open bool) (start, stop []string, each int64) {
	slices.SortFunc(missing, func(a, b fill) int {
		pinned := 0
		if a.pinned != b.pinned {
			pinned = 1
			if a.pinned {
				pinned = -1
			}
		}
		return cmp.Or(pinned, cmp.Compare(b.heat, a.heat), b.published.Compare(a.published), cmp.Compare(a.key, b.key))
	})
	running := 0
	for _, f := range missing {
		switch {
		case f.running && !open:
			stop = append(stop, f.key)
		case f.running:
			running++
		}
	}
	for _, f := range missing {
		if open && !f.running && running < maxFills {
			start = append(start, f.key)
			running++
		}
	}
	if rate > 0 {
		each = max(1, rate/int64(max(running, 1)))
	}
	return start, stop, each
}

// countPeers counts what was given to peers since the last time. To other edges it is no demand: those count who asks them, and what they fetch ahead nobody has asked for.
func (e *Edge) countPeers(c *content, now time.Time) {
	t, _, _ := c.state()
	if t == nil || c.bytes == 0 {
		return
	}
	st := t.Stats()
	edges, users := st.To[swarm.Edges], -st.To[swarm.Edges]
	for _, n := range st.To {
		users += n
	}
	c.mu.Lock()
	if users < c.toUsers || edges < c.toEdges { // another transfer
		c.toUsers, c.toEdges = 0, 0
	}
	users, c.toUsers = users-c.toUsers, users
	edges, c.toEdges = edges-c.toEdges, edges
	c.mu.Unlock()
	e.count.toEdges.Add(edges)
	if users > 0 {
		e.count.toPeers.Add(users)
		e.shelf.touch(c.key, float64(users)/float64(c.bytes), now)
	}
}
