package edgecache

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"shoal/internal/deliver"
	"shoal/internal/release"
)

// repository is one that the edge follows. What it says is verified as any client does it, with what this machine has seen remembered, and only then
// mirrored and believed.
type repository struct {
	base     *url.URL
	up       deliver.Upstream
	mirror   *mirror
	trustDir string
	roomFor  func(key string) room // for what a content needs, which does not go for it
	root     []byte                // to pin; nil: what is pinned already, or see firstUse
	firstUse bool
	heard    chan []byte // what peers say of its log
	before   *catalog    // what was read last; nil: nothing was
	now      func() time.Time
	id       atomic.Pointer[string] // as the root has it that is pinned; nil: none was yet

	mu   sync.Mutex     // held while walk is read from: nobody waits for an origin then
	walk *release.Trust // of the state that is published; nil: of none
}

func newRepository(base *url.URL, cfg *Config, others func() []release.Files, roomFor func(key string) room, writing func() (end func())) *repository {
	up := deliver.NewUpstream(base, cfg.UserAgent)
	dir := filepath.Join(cfg.StateDir, "repository", score12(base.String()))
	return &repository{base: base, up: up, mirror: newMirror(dir, chain{up, others}, roomFor(""), writing), trustDir: filepath.Join(cfg.StateDir, "trust"), roomFor: roomFor, root: cfg.Root, firstUse: cfg.FirstUse,
		now: cfg.Now, heard: make(chan []byte, 16)}
}

// readsAtOnce is how many signed files an origin is asked for at once.
const readsAtOnce = 16

// score12 is a name for a directory, from a text of any length.
func score12(s string) string { return fmt.Sprintf("%012x", score("", s)>>16) }

// chain asks an origin, and where that does not answer the other edges: whoever has signed files may bring them.
type chain struct {
	first  release.Files
	others func() []release.Files
}

// Get implements release.Files.
func (c chain) Get(ctx context.Context, path string, limit int64, tag string) ([]byte, string, error) {
	b, newTag, err := c.first.Get(ctx, path, limit, tag)
	if !errors.Is(err, deliver.ErrNoSource) || ctx.Err() != nil {
		return b, newTag, err
	}
	for _, o := range c.others() {
		if b, newTag, second := o.Get(ctx, path, limit, tag); second == nil || errors.Is(second, release.ErrUnchanged) {
			return b, newTag, second
		} else if errors.Is(second, release.ErrAbsent) {
			err = second
		}
	}
	return nil, "", err
}

// refresh asks the origin what is new. The catalog is nil if that is nothing; known says whether there was one before. It is called by one at a time.
func (r *repository) refresh(ctx context.Context, known bool) (*catalog, error) {
	c, walk, err := r.look(ctx, known)
	r.mirror.tidy(r.now())
	if err != nil || c == nil {
		if err != nil {
			r.mirror.abandon()
			return nil, err
		}
		return nil, r.mirror.publish()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.mirror.publish(); err != nil {
		return nil, err
	}
	r.walk, r.before = walk, c
	return c, nil
}

func (r *repository) look(ctx context.Context, known bool) (*catalog, *release.Trust, error) {
	name := r.base.Redacted()
	t, err := release.NewTrust(ctx, release.TrustConfig{Files: r.mirror, Dir: r.trustDir, Root: r.root, FirstUse: r.firstUse, Name: name})
	if err != nil {
		return nil, nil, err
	}
	id := t.ID()
	r.id.Store(&id)
	if err := t.Refresh(ctx); err != nil {
		return nil, nil, err
	}
	if known && t.Unchanged() {
		return nil, nil, nil
	}
	return r.read(ctx, &published{m: r.mirror, aside: true}, name)
}

// recall reads the repository as it was mirrored, without its origin.
func (r *repository) recall(ctx context.Context) (*catalog, error) {
	r.mirror.offline.Store(true)
	defer r.mirror.offline.Store(false)
	c, walk, err := r.read(ctx, &published{m: r.mirror}, r.base.Redacted())
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.walk, r.before = walk, c
	return c, nil
}

// read goes through all that is signed, with nothing remembered, so that the mirror has all that a new client will ask for. After that what it returns reads
// from the mirror alone.
func (r *repository) read(ctx context.Context, files *published, name string) (*catalog, *release.Trust, error) {
	root, err := release.KnownRoot(r.trustDir, name, "")
	if err == nil && root == nil {
		err = fmt.Errorf("nothing is pinned for %s", name)
	}
	if err != nil {
		return nil, nil, err
	}
	t, err := release.NewTrust(ctx, release.TrustConfig{Files: files, Root: root, Evidence: r.trustDir})
	if err != nil {
		return nil, nil, err
	}
	if err := t.Refresh(ctx); err != nil {
		return nil, nil, err
	}
	if !r.mirror.offline.Load() {
		if err := t.ReadAhead(ctx, readsAtOnce); err != nil {
			return nil, nil, err
		}
	}
	c := newCatalog(t.ID(), t.Version())
	apps, err := t.Apps(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, app := range apps {
		info, err := t.App(ctx, app)
		if err != nil {
			return nil, nil, err
		}
		if err := r.list(ctx, t, info, c); err != nil {
			return nil, nil, err
		}
	}
	for key := range c.byKey { // withdrawn under one name, and not under another
		delete(c.withdrawn, key)
	}
	if err := t.ReadAround(ctx); err != nil {
		return nil, nil, err
	}
	files.here.Store(true)
	r.mirror.mark(func(path string) bool { return files.uses(path, c) }, r.now())
	return c, t, nil
}

// list puts an app's releases into a catalog, each once it was found in the log.
func (r *repository) list(ctx context.Context, t *release.Trust, info *release.AppInfo, c *catalog) error {
	has := map[string][]string{}
	for _, ch := range info.Channels {
		c.channels[ch.App+":"+ch.Channel] = ch.Version
		has[ch.Version] = append(has[ch.Version], ch.Channel)
	}
	for _, rel := range info.Releases {
		patches, err := t.Patches(ctx, &release.Found{Release: rel.Release})
		if err != nil {
			return err
		}
		all := slices.Concat(rel.Artefacts, patches)
		if rel.Withdrawn != "" || rel.Halted { // a rollout that is halted ends its swarm: until it begins anew that is the same
			for i := range all {
				c.withdrawn[all[i].V2] = true
			}
			if r.before != nil { // of what is withdrawn no patches are signed any more
				for _, k := range r.before.ways[rel.Ref().String()] {
					c.withdrawn[k.key] = c.withdrawn[k.key] || k.platform == rel.Platform
				}
			}
			continue
		}
		found, err := t.Release(ctx, rel.Ref(), []string{rel.Platform})
		if err != nil {
			return err
		}
		for i := range all {
			a := &all[i]
			k := &known{key: a.V2, name: a.Name, bytes: a.Bytes, app: rel.App, version: rel.Version, platform: rel.Platform, channels: has[rel.Version], published: rel.Published, from: r, artefact: a}
			if a.IsTarget() {
				hash := ""
				if k.file, hash, err = t.BesideFile(ctx, found, a); err != nil {
					return err
				}
				if k.isFile() {
					k.key, k.tree = hash, rel.Tree().V2
				}
			}
			c.add(k)
		}
	}
	return nil
}

// find implements source.
func (r *repository) find(ctx context.Context, k *known) (*deliver.Found, error) {
	file, err := r.metainfoFile(ctx, k)
	if err != nil {
		return nil, err
	}
	if err := r.mirror.bring(ctx, r.mirror.up, file, release.MaxMetainfo, r.roomFor(k.key)); err != nil {
		return nil, err
	}
	packed, err := r.metainfo(ctx, k)
	if err != nil {
		r.mirror.forget(file)
		return nil, err
	}
	t, err := deliver.UnpackMetainfo(packed, k.artefact)
	if err != nil {
		return nil, err
	}
	f := &deliver.Found{Torrent: t, WebSeeds: t.WebSeeds}
	r.up.Sources(f, k.key)
	return f, nil
}

// metainfoFile is where the repository has what describes a content.
func (r *repository) metainfoFile(ctx context.Context, k *known) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rel, err := r.walk.Release(ctx, k.release(), []string{k.platform})
	if err != nil {
		return "", err
	}
	return r.walk.MetainfoFile(ctx, rel, k.key)
}

// metainfo is what that file has, once it was found to be right.
func (r *repository) metainfo(ctx context.Context, k *known) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rel, err := r.walk.Release(ctx, k.release(), []string{k.platform})
	if err != nil {
		return nil, err
	}
	return r.walk.MetainfoOf(ctx, rel, k.key)
}

// redirect implements source.
func (r *repository) redirect(k *known, file string) string {
	return withoutUser(r.base).JoinPath("content", k.key, file).String()
}

// single is an origin's content that is no release.
type single struct {
	url       string
	userAgent string

	mu    sync.Mutex
	found *deliver.Found
}

// ask finds out what the content is.
func (s *single) ask(ctx context.Context) (*catalog, error) {
	src, err := deliver.Classify(s.url)
	if err != nil {
		return nil, err
	}
	f, err := deliver.Resolve(ctx, src, deliver.Asking{UserAgent: s.userAgent})
	if err != nil {
		return nil, err
	}
	if f.Torrent == nil {
		return nil, fmt.Errorf("%s is not described", s.url)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found = f
	c := newCatalog("", 0)
	c.add(&known{key: f.Torrent.Info.Key(), name: f.Torrent.Name, bytes: f.Torrent.Length, from: s})
	return c, nil
}

// find implements source.
func (s *single) find(context.Context, *known) (*deliver.Found, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := *s.found
	return &f, nil
}

// redirect implements source.
func (s *single) redirect(k *known, file string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.found.Origin) == 0 {
		return ""
	}
	u, err := url.Parse(s.found.Origin[0])
	if err != nil {
		return ""
	}
	return withoutUser(u).JoinPath(file).String()
}
