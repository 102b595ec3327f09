package edgecache

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"shoal/piece"
	"shoal/swarm"
)

const (
	// stallTime is how long nothing may come from the other edges before the origin is asked, and slowTime the same while nobody waits and one of them is
	// fetching it: it may have much else to fetch.
	stallTime = 8 * time.Second
	slowTime  = 40 * time.Second
	// originGrace is how long an origin that is a Shoal node has to answer as a peer before it is asked over HTTP: with both at once, 1 % to 10 % were sent twice.
	originGrace = 3 * time.Second
	// watchTime is how often it is looked whether a fetch goes on.
	watchTime = 500 * time.Millisecond
	// keptTime is how long an error stands for an answer to who asks again.
	keptTime = 2 * time.Second
	// laterTime is how long what has failed is not fetched ahead; who asks for it has it tried at once.
	laterTime = 20 * time.Second
)

// errStopped says that the edge does not run.
var errStopped = errors.New("the edge is stopping")

// want has a content brought here, unless it is here or on its way. However many ask, it is fetched once.
func (e *Edge) want(k *known, demand bool) *content {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.contents[k.key]
	if c == nil {
		c = e.begin(k)
	}
	if demand {
		c.mu.Lock()
		c.demanded = true
		c.mu.Unlock()
		c.pace.Set(0)
	}
	return c
}

// begin has a content brought that nobody has begun with. e.mu is held.
func (e *Edge) begin(k *known) *content {
	c := newContent(k)
	e.contents[k.key] = c
	e.start(c)
	return c
}

// start has a content fetched. e.mu is held.
func (e *Edge) start(c *content) {
	if e.running == nil {
		c.err = errStopped
		close(c.ready)
		return
	}
	ctx, stop := context.WithCancel(e.running)
	c.gone, c.stop = make(chan struct{}), stop
	e.tasks.Go(func() {
		defer close(c.gone)
		defer stop()
		bring := e.fetch
		switch h, _ := e.shelf.get(c.key); {
		case c.isFile():
			bring = e.fetchFile
		case h.suspect:
			bring = e.recheck
		}
		err := bring(ctx, c)
		if err == nil {
			return
		}
		c.mu.Lock()
		c.err = err
		t := c.transfer
		c.mu.Unlock()
		c.open()
		if t != nil {
			t.Close()
		}
		if ctx.Err() == nil {
			e.count.failed.Add(1)
			e.mu.Lock()
			e.later[c.key] = time.Now().Add(laterTime)
			e.mu.Unlock()
			if !errors.Is(err, errNoRoom) && !errors.Is(err, errNoSource) { // of which other words are told
				e.cfg.Log.Warn("a content cannot be fetched", "name", c.ref(), "infohash", c.key, "err", err)
			}
			select { // whoever asks meanwhile gets the same answer
			case <-time.After(keptTime):
			case <-ctx.Done():
			}
		}
		e.forget(c)
	})
}

// leave ends a transfer after which another one comes, for which its readers wait.
func (c *content) leave(t *swarm.Transfer) {
	c.mu.Lock()
	c.transfer = nil
	c.mu.Unlock()
	t.Close()
}

// open lets those go on that wait for a content.
func (c *content) open() {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.ready:
	default:
		close(c.ready)
	}
}

func (e *Edge) forget(c *content) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.contents[c.key] == c {
		delete(e.contents, c.key)
	}
	e.nudge()
}

// fetch brings a content, and returns when it is whole.
func (e *Edge) fetch(ctx context.Context, c *content) error {
	found, err := c.from.find(ctx, c.known)
	if err != nil {
		return fmt.Errorf("finding out what %s is: %w", c.ref(), err)
	}
	t := found.Torrent
	err = e.makeRoom(ctx, c.known, costOf(t))
	e.roomFor(c.known, err)
	if err != nil {
		return err
	}
	if err := e.shelf.describe(c.key, t); err != nil {
		return err
	}
	if err := e.shelf.doubt(c.key, e.shelf.written(c.key)); err != nil { // its files change from here on
		return err
	}
	for stalled := false; ; {
		own, have := e.holders(ctx, c.key, c.demands())
		from, origin := sources(e.self(), own, have, e.members(), stalled)
		spec := swarm.Spec{Torrent: t, Dir: e.shelf.contentDir(c.key), Own: true, Pace: &c.pace}
		c.gossip(&spec)
		spec.WebSeeds = e.webSeeds(from, c.key)
		for _, m := range from {
			spec.Peers = append(spec.Peers, m.Addr)
		}
		if origin {
			spec.WebSeeds = append(spec.WebSeeds, found.WebSeeds...)
			spec.OriginSeeds, spec.Trackers = found.Origin, found.Trackers
			if len(found.Peers) > 0 {
				spec.Peers, spec.WebGrace = append(spec.Peers, found.Peers...), originGrace
			}
		}
		if e.ring == nil {
			spec.Trackers = append(spec.Trackers, t.Trackers...)
		} else if !origin {
			bare := *t // what stands in it leads to the origin
			bare.Trackers, bare.WebSeeds = nil, nil
			spec.Torrent = &bare
		}
		end, err := e.attempt(ctx, c, spec, origin)
		if err != nil {
			return err
		}
		if end == isWhole {
			break
		}
		stalled = end == hasStalled
	}
	if err := e.shelf.keep(c.key, t, e.cfg.Now()); err != nil {
		return err
	}
	c.mu.Lock()
	took := time.Since(c.since)
	c.whole, c.since = true, time.Now()
	stats := c.transfer.Stats()
	c.mu.Unlock()
	e.count.filled.Add(1)
	if e.cfg.Kept != nil {
		e.cfg.Kept(Kept{c.ref(), c.key, filepath.Join(e.shelf.contentDir(c.key), t.Name), t.Length, took, stats})
	}
	e.cfg.Log.Info("a content is here", "name", c.ref(), "infohash", c.key, "bytes", c.bytes)
	e.nudge()
	return nil
}

// ending is how an attempt to fetch a content ends.
type ending uint8

const (
	isWhole    ending = iota
	hasStalled        // nothing comes from these sources
	nowLeads          // those who were to ask the origin are gone, and it is for us to do so
	nowFollows        // another edge is to ask the origin: the cluster has more members than this one knew
)

// attempt fetches from the sources that a spec names; origin says that the origin is one. If others are to be tried, what is verified stays.
func (e *Edge) attempt(ctx context.Context, c *content, spec swarm.Spec, origin bool) (ending, error) {
	t, err := e.cfg.Node.Add(spec)
	if err != nil {
		return 0, err
	}
	led, told := e.leads(c.key), c.demands()
	c.mu.Lock()
	c.transfer, c.torrent, c.direct = t, spec.Torrent, origin
	c.mu.Unlock()
	c.open()
	defer func() { e.count.fetched(t.Stats()) }()
	tick := time.NewTicker(watchTime)
	defer tick.Stop()
	moved, last := time.Now(), int64(-1)
	for {
		select {
		case <-t.Done():
			return isWhole, t.Err()
		case <-ctx.Done():
			return 0, ctx.Err()
		case now := <-tick.C:
			if n := t.Stats().Have; n != last {
				moved, last = now, n
			}
			c.mu.Lock()
			c.idle = now.Sub(moved) >= comeTime
			c.mu.Unlock()
			if !told && c.demands() { // those who fetch it for this edge are to hurry as well
				told = true
				e.holders(ctx, c.key, true)
			}
			switch {
			case origin && led && !e.leads(c.key):
				c.leave(t)
				return nowFollows, nil
			case origin:
			case now.Sub(moved) >= stallTime && (now.Sub(moved) >= slowTime || c.demands() || !e.fetchedElsewhere(ctx, c.key)):
				c.leave(t)
				return hasStalled, nil
			case !led && e.leads(c.key):
				c.leave(t)
				return nowLeads, nil
			}
		}
	}
}

// webSeeds are where other edges have a content over HTTP.
func (e *Edge) webSeeds(from []Member, key string) (urls []string) {
	for _, m := range from {
		urls = append(urls, "http://"+m.Addr+"/content/"+key+"/")
	}
	return urls
}

// makeRoom reserves room for a content, and has go what is worth less.
func (e *Edge) makeRoom(ctx context.Context, k *known, cost int64) error {
	return e.admit(ctx, "room", func() ([]string, error) {
		victims, err := e.shelf.reserve(k.key, held{name: k.name, bytes: k.bytes, cost: cost, file: k.isFile()}, e.status, e.cfg.Now())
		if err == nil && len(victims) > 0 && !e.canCome(ctx, k) {
			err = errNoSource
		}
		return victims, err
	})
}

// admit has reserve take room, one at a time, as often as it says what has to go for it first. why is counted.
func (e *Edge) admit(ctx context.Context, why string, reserve func() (victims []string, err error)) error {
	select {
	case e.admitting <- struct{}{}:
	case <-ctx.Done(): // perhaps it is this one that has to go
		return ctx.Err()
	}
	defer func() { <-e.admitting }()
	for {
		victims, err := reserve()
		if err != nil || len(victims) == 0 {
			return err
		}
		for _, key := range victims {
			if err := e.drop(ctx, key, why); err != nil {
				return err
			}
		}
	}
}

// errNoSource says that a content cannot be had at the moment.
var errNoSource = errors.New("its origin does not answer, and no other edge has it")

// canCome says whether a content is to be had from its origin or from another edge, as far as that is known: nothing goes for what would not come.
func (e *Edge) canCome(ctx context.Context, k *known) bool {
	down := slices.ContainsFunc(e.feeds, func(f *feed) bool { return k.from == source(f.repository) && f.down() })
	if !down {
		return true
	}
	_, have := e.holders(ctx, k.key, false)
	for _, h := range have {
		if h == holdsWhole || h == holdsFetching {
			return true
		}
	}
	return false
}

// status is how a content stands, for the policy.
func (e *Edge) status(key string) status {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.contents[key]
	st := status{pinned: e.pinned[key], owned: e.owned[key], busy: c != nil && c.busy()}
	if c != nil {
		t, whole, err := c.state()
		if st.coming = !whole && err == nil; t != nil && st.coming {
			st.have = t.Stats().Have
		}
	}
	return st
}

// drop removes a content: it leaves its swarm, then the web, then the disk. why is counted.
func (e *Edge) drop(ctx context.Context, key, why string) error {
	e.mu.Lock()
	c := e.contents[key]
	delete(e.contents, key)
	e.mu.Unlock()
	if c != nil {
		if c.stop != nil {
			c.stop()
			<-c.gone
		}
		c.mu.Lock()
		t := c.transfer
		c.err = errDropped
		c.mu.Unlock()
		c.open()
		if t != nil {
			t.Close()
		}
	}
	e.shut(key)
	e.smalls.forget(key)
	h, ok := e.shelf.get(key)
	if err := e.shelf.drop(key); err != nil {
		return fmt.Errorf("removing %s: %w", key, err)
	}
	if ok {
		e.count.evicted(why, h)
		e.cfg.Log.Info("a content was removed", "name", h.name, "infohash", key, "bytes", h.cost, "why", why)
	}
	return nil
}

var errDropped = errors.New("the content was removed")

// torrentOf reads what describes a content.
func (e *Edge) torrentOf(c *content) (*piece.Torrent, error) {
	c.mu.Lock()
	t := c.torrent
	c.mu.Unlock()
	if t != nil {
		return t, nil
	}
	return piece.ReadFile(e.shelf.torrentPath(c.key))
}

// spawn does something beside, unless the edge does not run any more.
func (e *Edge) spawn(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.running != nil {
		e.tasks.Go(f)
	}
}
