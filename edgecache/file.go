package edgecache

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	"shoal/internal/deliver"
	"shoal/internal/release"
)

// Two kinds of signed files are no metadata, and may be as large as contents: patches below release.MaxSmallPatch, and indices of blocks. A patch is a torrent as well, and
// what is kept of it is that. An index has a place on the shelf of its own, by its SHA-256, and is what a content is: it has a demand, and is fetched once for all who wait for
// it. It is to be where its release is, and comes after that.

// isFile says whether it is a file that no swarm has.
func (k *known) isFile() bool { return k.artefact != nil && k.artefact.V2 == "" }

// sharedOut says whether it is shared out among the edges that follow apps: a file is where its home is.
func (k *known) sharedOut(apps []string) bool { return k.followed(apps) && !k.isFile() }

// home is the content by which the ring decides who keeps it.
func (k *known) home() string { return cmp.Or(k.tree, k.key) }

// ServeFile serves a patch or an index that a URL's path asks for as a file of a repository; false: it asks for something else. What is not here is fetched, or the client is
// led to an edge that keeps it, or to the origin.
func (e *Edge) ServeFile(w http.ResponseWriter, r *http.Request) bool {
	f, file := e.repositoryFile(r.URL.Path)
	if f == nil {
		return false
	}
	c, _ := f.state()
	if key, is := metainfoKey(file); is && c.byKey[key] != nil {
		return !e.describe(w, r, f.repository, file)
	}
	k := c.files[file]
	if k == nil || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	switch {
	case !e.begun.Load():
		busy(w, "the edge has only just begun")
	case k.isFile():
		e.serveFile(w, r, k)
	case !e.serveSmall(w, r):
		e.serve(w, r, k, k.name)
	}
	return true
}

// describe has a content's description here for who asks for it, as far as there is spare room: nothing goes for what is not kept. If there is none it leads to the origin.
// That the origin does not answer is no word of it about what there is.
func (e *Edge) describe(w http.ResponseWriter, r *http.Request, from *repository, file string) (here bool) {
	up := from.mirror.up
	if isEdge(r) { // it asks all others itself; did they ask on, they would ask each other without end
		up = from.up
	}
	err := from.mirror.bring(r.Context(), up, file, release.MaxMetainfo, e.spareRoom)
	switch {
	case err == nil:
		return true
	case errors.Is(err, errNoMetadataRoom) && !isEdge(r):
		lead(w, r, withoutUser(from.base).JoinPath(file).String())
	case errors.Is(err, release.ErrAbsent):
		http.NotFound(w, r)
	case errors.Is(err, deliver.ErrNoSource):
		http.Error(w, "it is not here, and its origin does not answer", http.StatusBadGateway)
	default:
		busy(w, "it cannot be fetched at the moment")
	}
	return false
}

func (e *Edge) serveFile(w http.ResponseWriter, r *http.Request, k *known) {
	h, _ := e.shelf.get(k.key)
	was, edge := h.whole, isEdge(r)
	if !edge {
		e.shelf.touch(k.key, 1, e.cfg.Now()) // counted before it is decided whether to keep it
	}
	c, _, err := e.obtain(r.Context(), k, !edge)
	if err != nil {
		e.fileElsewhere(w, r, k, err)
		return
	}
	defer c.use(-1)
	end, ok := e.web.Begin(w, r)
	if !ok {
		return
	}
	defer end()
	f, err := e.openFile(c)
	if err != nil {
		e.fileElsewhere(w, r, k, err)
		return
	}
	defer f.Close()
	out := &counted{ResponseWriter: w}
	w.Header().Set("ETag", `"`+k.key+`"`)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(&patient{out, e, r}, r, "", time.Time{}, f)
	e.count.served(edge, was, out.n)
}

// openFile opens a file that is here, if it still is what its key says. Else it is removed, and fetched again by whoever asks next.
func (e *Edge) openFile(c *content) (*os.File, error) {
	f, err := os.Open(e.shelf.filePath(c.key))
	if err == nil {
		h := sha256.New()
		if _, err = f.WriteTo(h); err == nil && fmt.Sprintf("%x", h.Sum(nil)) == c.key {
			_, err = f.Seek(0, 0)
			return f, err
		}
		f.Close()
		err = errChanged
	}
	return nil, errors.Join(err, e.mendFile(c, err))
}

// mendFile removes a file that is another than it was, once, and says so.
func (e *Edge) mendFile(c *content, why error) error {
	e.mending.Lock()
	defer e.mending.Unlock()
	e.mu.Lock()
	here := e.contents[c.key] == c
	e.mu.Unlock()
	if !here { // somebody else has noticed
		return nil
	}
	e.cfg.Log.Warn("a signed file has changed on disk, and is fetched again", "sha256", c.key, "err", why)
	e.count.mended.Add(1)
	defer e.forget(c)
	return e.shelf.drop(c.key)
}

// fileElsewhere leads to where else a file is: to the edge that keeps its release, else to the origin.
func (e *Edge) fileElsewhere(w http.ResponseWriter, r *http.Request, k *known, err error) {
	e.answerElsewhere(w, r, err, func() string {
		from := k.from.(*repository)
		if id := from.id.Load(); e.ring != nil && id != nil && errors.Is(err, errElsewhere) {
			if m, ok, _ := e.ring.keeper(r.Context(), k.home()); ok {
				return m.forClients("/"+*id+"/"+k.file, r.TLS != nil)
			}
		}
		return withoutUser(from.base).JoinPath(k.file).String()
	})
}

// memberBase is where an edge has a repository, for other edges: what they get is held against signatures and hashes, and needs no TLS.
func memberBase(m Member, id string) *url.URL {
	return &url.URL{Scheme: "http", Host: m.Addr, Path: "/" + id + "/"}
}

// memberUpstream is a repository at another edge of the cluster, which is asked as by an edge: see isEdge.
func (e *Edge) memberUpstream(m Member, id string) deliver.Upstream {
	return deliver.NewUpstream(memberBase(m, id), e.cfg.UserAgent+deliver.EdgeServer)
}

// fetchFile brings a file, and returns when it is here.
func (e *Edge) fetchFile(ctx context.Context, c *content) (err error) {
	if err := e.makeRoom(ctx, c.known, fileCost(c.bytes)); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.shelf.drop(c.key))
		}
	}()
	for _, n := range []int{int(c.bytes), 1} { // the second waits until the first is due: it comes at once then
		if err := c.pace.WaitN(ctx, n); err != nil {
			return err
		}
	}
	b, err := e.findFile(ctx, c)
	if err != nil {
		return err
	}
	if err := e.shelf.keepFile(c.key, b, e.cfg.Now()); err != nil {
		return err
	}
	c.mu.Lock()
	c.whole, c.since = true, time.Now()
	c.mu.Unlock()
	c.open()
	return nil
}

// findFile gets a file from an edge that has it, or from its origin if it is for this edge to do that, or if nothing comes from the others.
func (e *Edge) findFile(ctx context.Context, c *content) ([]byte, error) {
	from := c.from.(*repository)
	for begin := time.Now(); ; {
		waited := time.Since(begin)
		stalled := waited >= stallTime && (c.demands() || waited >= slowTime)
		var own []Member
		var have map[string]holding
		if e.ring != nil {
			own, have = e.ring.of(c.home()), e.ring.ask(ctx, c.key, c.demands())
		}
		edges, origin := sources(e.self(), own, have, e.members(), stalled)
		for _, m := range edges {
			if have[m.Name] != holdsWhole {
				continue
			}
			up := e.memberUpstream(m, *from.id.Load())
			b, err := c.get(ctx, up)
			up.Close()
			if err == nil {
				e.count.fromEdges.Add(c.bytes)
				return b, nil
			}
			e.cfg.Log.Debug("a signed file from another edge", "edge", m.Name, "err", err)
		}
		if origin {
			b, err := c.get(ctx, from.up)
			if err == nil {
				e.count.fromOrigin.Add(c.bytes)
			}
			return b, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(watchTime):
		}
	}
}

// get reads a file, and makes sure that it is the one.
func (k *known) get(ctx context.Context, from release.Files) ([]byte, error) {
	b, _, err := from.Get(ctx, k.file, k.bytes, "")
	if err == nil && fmt.Sprintf("%x", sha256.Sum256(b)) != k.key {
		err = fmt.Errorf("%s: %w", k.file, errChanged)
	}
	return b, err
}
