package edgecache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"shoal/internal/deliver"
	"shoal/internal/disk"
	"shoal/internal/release"
	"shoal/internal/schedule"
	"shoal/internal/webseed"
	"shoal/swarm"
)

// Config configures an Edge.
type Config struct {
	// Origins are the bases of repositories, and URLs of single contents.
	Origins []*url.URL
	// Apps are patterns (path.Match) of the apps that are followed: the newest version of each of their channels is fetched.
	Apps []string
	// PullThrough fetches whatever else the origins have when it is asked for.
	PullThrough bool
	// Quota bounds what the edge keeps on disk, in bytes; KeepFree is how much of the disk stays free.
	Quota, KeepFree int64
	// StateDir is the edge's own.
	StateDir string
	// Root is a root.json to pin for all origins. Nil: what is pinned already; FirstUse: what they have themselves.
	Root     []byte
	FirstUse bool
	// Fill says when, and at most how fast, followed releases are fetched ahead. Nil: at once.
	Fill *schedule.Rates
	// Cluster says how other edges are found; without it the edge is alone.
	Cluster Cluster
	// Node is the part in the swarm; it must run while the edge does.
	Node *swarm.Node
	// Items is the DHT in which repositories are found whose origins are down. Nil: there is none.
	Items deliver.Items
	// Interval is how often origins are asked for news. Zero means 10 seconds.
	Interval time.Duration
	// Scrub is in how long everything that is kept is read and compared once. Zero means 30 days; negative: never.
	Scrub time.Duration
	// Kept is told of each content that has become whole. It must return at once. Nil: nobody is.
	Kept func(Kept)
	// UserAgent is what the edge calls itself where it asks. Empty means Shoal.
	UserAgent string
	// Log receives the edge's log. Nil discards it.
	Log *slog.Logger
	// Now is the clock on the wall. Nil means time.Now.
	Now func() time.Time
}

// Kept is a content that has become whole.
type Kept struct {
	Name     string // APP@VERSION, or a content's name
	Infohash string
	Path     string // where it lies
	Bytes    int64
	Took     time.Duration
	Stats    swarm.Stats // of the transfer that ended it
}

// MinQuota is the least that an edge can do with, in bytes.
const MinQuota = 8 << 20

const (
	defaultInterval = 10 * time.Second
	// maxFills is how many contents are fetched ahead at once.
	maxFills = 4
	// maxResponses is how many files are sent over HTTP at once.
	maxResponses = 4096
)

// Edge is a copy of others' contents near their users.
type Edge struct {
	cfg    Config
	shelf  *shelf
	web    webseed.Handler
	smalls smalls
	fair   fair
	ring   *ring // nil: alone
	feeds  []*feed
	poke   chan struct{} // something has changed: look at once
	count  counters

	admitting chan struct{} // has room for the one that makes room
	mending   sync.Mutex    // held while a content is taken back
	reached   atomic.Bool   // an origin has answered since the start
	begun     atomic.Bool   // what is here and what is to be here is known

	rechecking chan struct{} // has room for those that are read again: see recheck

	mu       sync.Mutex
	running  context.Context // nil before Run
	tasks    sync.WaitGroup
	contents map[string]*content
	opened   []string             // contents that web serves, in the order they were opened
	pinned   map[string]bool      // by key
	owned    map[string]bool      // by key: what is to be here
	later    map[string]time.Time // by key: when what has failed is fetched ahead again
	lacking  map[string]*known    // by key: what is to be here and has no room
	states   map[string]bool      // by repository: its state is kept by one of the feeds
}

// New opens the state directory and changes nothing else.
func New(cfg Config) (*Edge, error) {
	if cfg.Interval == 0 {
		cfg.Interval = defaultInterval
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "Shoal"
	}
	if cfg.Scrub == 0 {
		cfg.Scrub = defaultScrub
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Quota < MinQuota {
		return nil, fmt.Errorf("a quota of %d bytes: an edge needs %d at least", cfg.Quota, MinQuota)
	}
	for _, pattern := range cfg.Apps {
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, fmt.Errorf("pattern %q of apps: %w", pattern, err)
		}
	}
	if len(cfg.Apps) == 0 && !cfg.PullThrough {
		cfg.Apps = []string{"*"}
	}
	e := &Edge{cfg: cfg, poke: make(chan struct{}, 1), admitting: make(chan struct{}, 1), rechecking: make(chan struct{}, maxRechecks), contents: map[string]*content{}, pinned: map[string]bool{}, owned: map[string]bool{}, later: map[string]time.Time{}, lacking: map[string]*known{}, states: map[string]bool{}}
	var err error
	if e.shelf, err = openShelf(cfg.StateDir, cfg.Quota, cfg.KeepFree); err != nil {
		return nil, err
	}
	if n := len(e.shelf.foreign); n > 0 {
		cfg.Log.Warn("the state directory has what no edge has made; it is left alone", "path", cfg.StateDir, "names", n, "first", e.shelf.foreign[0])
	}
	if e.cfg.Cluster.Name == "" {
		host, err := os.Hostname()
		if err != nil {
			return nil, err
		}
		e.cfg.Cluster.Name = fmt.Sprintf("%s:%d", host, cfg.Cluster.Port)
	}
	if e.ring, err = newRing(e.cfg.Cluster, cfg.Apps, e.sharesOut, cfg.PullThrough, e.nudge, cfg.Log); err != nil {
		return nil, err
	}
	for _, u := range cfg.Origins {
		f := &feed{url: u, single: single{url: u.String(), userAgent: cfg.UserAgent}, news: make(chan struct{}, 1)}
		f.repository = newRepository(u, &e.cfg, func() []release.Files { return e.elsewhere(f) }, e.metadataRoom, e.shelf.writing)
		e.feeds = append(e.feeds, f)
	}
	e.web.Responses = min(disk.Descriptors()/4, maxResponses)
	e.web.Limit = func(r *http.Request) webseed.Limiter {
		return e.fair.client(webseed.ClientOf(r), cfg.Node.UploadPace(webseed.Remote(r)))
	}
	if e.measure(); e.shelf.meta > cfg.Quota {
		return nil, fmt.Errorf("%s has %d bytes that are no content, and the quota is %d: it takes a larger one, or another state directory", cfg.StateDir, e.shelf.meta, cfg.Quota)
	}
	return e, nil
}

// Run follows, fetches and keeps until ctx is done, and returns once everything it started has stopped. What is not whole goes on with the next run. If none of its origins
// can ever be followed, since all have answered and none is pinned, it ends with a *release.Refusal.
func (e *Edge) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	e.mu.Lock()
	e.running = ctx
	e.mu.Unlock()
	for _, f := range e.feeds {
		if c, err := f.repository.recall(ctx); err == nil {
			f.set(c, nil, e.cfg.Now())
		}
	}
	e.restore()
	if e.ring != nil {
		g.Go(func() error { return e.ring.run(ctx) })
	}
	for _, f := range e.feeds {
		g.Go(func() error { return e.follow(ctx, f) })
		g.Go(func() error { e.witness(ctx, f); return nil })
		if e.cfg.Items != nil {
			g.Go(func() error { e.keepState(ctx, f); return nil })
		}
	}
	g.Go(func() error { e.look(ctx); return nil })
	if e.cfg.Scrub > 0 {
		g.Go(func() error { e.scrub(ctx); return nil })
	}
	g.Go(func() error { e.keepUp(ctx); return nil })
	err := g.Wait()
	e.mu.Lock()
	e.running = nil
	e.mu.Unlock()
	e.tasks.Wait()
	e.closeAll()
	for _, f := range e.feeds {
		f.repository.up.Close()
	}
	return errors.Join(err, e.shelf.saveHeats())
}

// closeAll leaves all swarms.
func (e *Edge) closeAll() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.contents {
		if t, _, _ := c.state(); t != nil {
			t.Close()
		}
	}
}

// nudge has the edge look at once what there is to do.
func (e *Edge) nudge() {
	select {
	case e.poke <- struct{}{}:
	default:
	}
}

// feed is an origin and what it has on offer.
type feed struct {
	url        *url.URL
	repository *repository
	single     single
	news       chan struct{} // the catalog has changed

	mu      sync.Mutex
	catalog *catalog // nil: not known yet
	alone   bool     // it is a single content
	err     error    // why the last look failed
	fork    error    // that somebody was shown another log
	asked   time.Time
}

func (f *feed) state() (c *catalog, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.catalog, f.err
}

// down says whether the origin did not answer when it was asked last. One whose answer was refused has answered.
func (f *feed) down() bool {
	_, err := f.state()
	var refusal *release.Refusal
	return err != nil && !errors.As(err, &refusal)
}

func (f *feed) set(c *catalog, err error, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err, f.asked = err, now
	if c != nil {
		f.catalog = c
		select {
		case f.news <- struct{}{}:
		default: // there are some already
		}
	}
}

// unpinned says whether the origin has answered, and nobody has said who may sign there: time does not change that.
func (f *feed) unpinned() bool {
	_, err := f.state()
	r, ok := errors.AsType[*release.Refusal](err)
	return ok && r.Rule == release.RuleUnpinned
}

// follow asks an origin for news until ctx is done, or nothing can ever come of it and the other origins.
func (e *Edge) follow(ctx context.Context, f *feed) error {
	tick := time.NewTimer(0)
	defer tick.Stop()
	var woken <-chan struct{}
	if e.ring != nil {
		woken = e.ring.watch()
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-woken:
		}
		c, err := e.ask(ctx, f)
		if ctx.Err() != nil {
			return nil
		}
		if c != nil || e.shelf.hasGrown() {
			e.measure()
		}
		if err == nil {
			e.reached.Store(true)
		}
		_, before := f.state()
		f.set(c, err, e.cfg.Now())
		if err != nil && !slices.ContainsFunc(e.feeds, func(f *feed) bool { return !f.unpinned() }) {
			return err
		}
		if err != nil && (before == nil || before.Error() != err.Error()) {
			about := []any{"origin", f.url.Redacted(), "err", err}
			if r := (*release.Refusal)(nil); errors.As(err, &r) && r.Hint != "" {
				about = append(about, "hint", r.Hint)
			}
			e.cfg.Log.Warn("an origin cannot be followed", about...)
		}
		if c != nil {
			e.cfg.Log.Info("an origin has news", "origin", f.url.Redacted(), "releases", c.releases(), "version", c.version)
			e.smalls.forget("") // what they are called may be another content now
			e.tellCheckpoint(f.repository)
			e.nudge()
			if e.ring != nil {
				e.ring.tell(c.id, c.version)
			}
		}
		wait := e.cfg.Interval
		if errors.Is(err, errNoMetadataRoom) {
			wait = max(wait, crowdedTime)
		}
		tick.Reset(wait)
	}
}

// ask asks an origin for news; a nil catalog is none.
func (e *Edge) ask(ctx context.Context, f *feed) (*catalog, error) {
	known, _ := f.state()
	if known != nil && f.alone {
		return nil, nil // a content never changes
	}
	if known != nil {
		return f.repository.refresh(ctx, true)
	}
	_, _, first := f.repository.up.Get(ctx, timestampPath, 1<<20, "")
	if errors.Is(first, release.ErrAbsent) {
		f.alone = true
		return f.single.ask(ctx)
	}
	c, err := f.repository.refresh(ctx, false)
	if r, ok := errors.AsType[*release.Refusal](err); ok && r.Rule == release.RuleUnpinned && first != nil {
		err = first // whether it is a repository at all is not known yet
	}
	return c, err
}

// find is a content by its key, in whichever origin's catalog; withdrawn says that its publisher has taken it back, and sure that all catalogs are known.
func (e *Edge) find(key string) (k *known, withdrawn, sure bool) {
	sure = true
	for _, f := range e.feeds {
		c, _ := f.state()
		switch {
		case c == nil:
			sure = false
		case c.byKey[key] != nil:
			return c.byKey[key], false, true
		case c.withdrawn[key]:
			withdrawn = true
		}
	}
	return nil, withdrawn, sure
}

// sharesOut says whether a content is one of those that this edge follows, and shares with all that follow the same.
func (e *Edge) sharesOut(key string) bool {
	for _, f := range e.feeds {
		if c, _ := f.state(); c != nil && c.byKey[key] != nil && c.byKey[key].sharedOut(e.cfg.Apps) {
			return true
		}
	}
	return false
}

// release is the first origin's that has it: a version of an app, and with an empty version the one that a channel has.
func (e *Edge) release(app, version, channel string) (list []*known, at string) {
	for _, f := range e.feeds {
		c, _ := f.state()
		if c == nil {
			continue
		}
		v := version
		if v == "" {
			v = c.channels[app+":"+channel]
		}
		if list = c.byRef[app+"@"+v]; v != "" && len(list) > 0 {
			return list, v
		}
	}
	return nil, ""
}
