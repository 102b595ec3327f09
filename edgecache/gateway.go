package edgecache

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"shoal/internal/deliver"
	"shoal/internal/release"
	"shoal/internal/webseed"
	"shoal/piece"
)

// cutRef takes APP@VERSION or APP:CHANNEL apart.
func cutRef(s, at string) (app, rest string, ok bool) {
	app, rest, ok = strings.Cut(s, at)
	return app, rest, ok && release.ValidApp(app) && (at == "@" && release.ValidVersion(rest) || at == ":" && release.ValidChannel(rest))
}

// ServeHTTP serves contents of the origins to anybody who speaks HTTP:
//
//	/content/KEY/NAME[/PATH]    BEP 19; also below a repository's id
//	/APP@VERSION[/PATH]         a release: ?platform=P where there is more than one
//	/APP:CHANNEL[/PATH]         307 to the version that the channel has
//
// What is not here is fetched, and served while it comes; what is not to be kept is answered by 307 to an edge that keeps it, or to the origin. Nothing
// else is asked of anybody: it is no proxy.
func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	if !e.begun.Load() {
		busy(w, "the edge has only just begun")
		return
	}
	webseed.IgnoreRange(r)
	if e.serveSmall(w, r) {
		return
	}
	first, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if below, ok := strings.CutPrefix(rest, "content/"); ok && e.repositoryWith(first) { // as everything of a repository
		first, rest = "content", below
	}
	if first == "content" {
		key, file, _ := strings.Cut(rest, "/")
		e.serveKey(w, r, strings.ToLower(key), file)
		return
	}
	if app, channel, ok := cutRef(first, ":"); ok {
		e.serveChannel(w, r, app, channel, rest)
		return
	}
	if app, version, ok := cutRef(first, "@"); ok {
		list, _ := e.release(app, version, "")
		e.serveRelease(w, r, list, rest)
		return
	}
	http.Error(w, "there is nothing here: an edge has /APP@VERSION, /APP:CHANNEL and /content/HASH", http.StatusNotFound)
}

// repositoryWith says whether one of the origins is the repository that has an id.
func (e *Edge) repositoryWith(id string) bool {
	return slices.ContainsFunc(e.feeds, func(f *feed) bool {
		c, _ := f.state()
		return c != nil && c.id == id && id != ""
	})
}

// serveChannel leads to the version that a channel has now.
func (e *Edge) serveChannel(w http.ResponseWriter, r *http.Request, app, channel, rest string) {
	_, version := e.release(app, "", channel)
	if version == "" {
		e.Unknown(w, r)
		return
	}
	to := url.URL{Path: "/" + app + "@" + version, RawQuery: r.URL.RawQuery}
	if rest != "" {
		to.Path += "/" + rest
	}
	w.Header().Set("Cache-Control", "no-cache")
	http.Redirect(w, r, to.String(), http.StatusTemporaryRedirect)
}

// Unknown answers that there is no such thing, or while the origins are not known yet that it cannot be told.
func (e *Edge) Unknown(w http.ResponseWriter, r *http.Request) {
	if _, _, sure := e.find(""); !sure {
		busy(w, "an origin has not answered yet")
		return
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	http.Error(w, "no origin of this edge has "+name, http.StatusNotFound)
}

func busy(w http.ResponseWriter, why string) {
	w.Header().Set("Retry-After", "1")
	http.Error(w, why, http.StatusServiceUnavailable)
}

// serveRelease serves a file of a release, or the list of its files.
func (e *Edge) serveRelease(w http.ResponseWriter, r *http.Request, list []*known, path string) {
	if len(list) == 0 {
		e.Unknown(w, r)
		return
	}
	k := forPlatform(list, r.URL.Query().Get("platform"))
	if k == nil {
		var have []string
		for _, k := range list {
			have = append(have, k.platform)
		}
		slices.Sort(have)
		http.Error(w, "which platform? ?platform= one of "+strings.Join(have, ", "), http.StatusMultipleChoices)
		return
	}
	file := k.name + "/" + path
	switch {
	case path == "" || path == k.name: // a single file has its own name
		if path == "" {
			e.serveList(w, r, k)
			return
		}
		file = k.name
	}
	e.serve(w, r, k, file)
}

// serveList is for people: what is in a release, which its signed description says, wherever its files are.
func (e *Edge) serveList(w http.ResponseWriter, r *http.Request, k *known) {
	found, err := k.from.find(r.Context(), k)
	if err != nil {
		busy(w, "what is in it cannot be told: its origin does not answer")
		return
	}
	t := found.Torrent
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if !t.Dir {
		fmt.Fprintln(w, t.Name)
		return
	}
	for i := range t.Files {
		fmt.Fprintln(w, strings.Join(t.Files[i].Path, "/"))
	}
}

// serveKey serves by info hash, as the clients of swarms ask.
func (e *Edge) serveKey(w http.ResponseWriter, r *http.Request, key, file string) {
	k, withdrawn, sure := e.find(key)
	if k == nil && !withdrawn && !sure { // no catalog yet: what is here is here
		if h, ok := e.shelf.get(key); ok {
			k = &known{key: key, name: h.name, bytes: h.bytes}
		}
	}
	switch {
	case withdrawn:
		http.Error(w, "its publisher has withdrawn this content", http.StatusNotFound)
		return
	case k == nil || k.isFile():
		http.Error(w, "no origin of this edge has a content of this hash", http.StatusNotFound)
		return
	}
	e.serve(w, r, k, file)
}

// errElsewhere says that this edge does not keep it.
var errElsewhere = errors.New("it is not kept here")

// obtain has a content brought here, waits until it can be read from, and counts who reads: use(-1) ends that. Without demand nothing is fetched outside the
// windows in which that is done ahead.
func (e *Edge) obtain(ctx context.Context, k *known, demand bool) (c *content, whole bool, err error) {
	e.mu.Lock()
	c = e.contents[k.key]
	keeps := e.keeps(k)
	e.mu.Unlock()
	if c == nil {
		if !keeps || !demand && !e.mayFill(e.cfg.Now()) {
			return nil, false, errElsewhere
		}
		c = e.want(k, demand)
	} else if demand && !c.demands() {
		e.want(k, true)
	}
	c.use(1)
	if whole, err = c.await(ctx); err != nil {
		c.use(-1)
	}
	return c, whole, err
}

// keeps says whether a content comes here when somebody asks for it. e.mu is held.
func (e *Edge) keeps(k *known) bool {
	if k.from == nil {
		return false
	}
	mayCome := e.cfg.PullThrough || k.followed(e.cfg.Apps)
	return e.toBeHere(k.key) || mayCome && (e.ring == nil || e.ring.keeps(k.home(), e.shelf.heat(k.key).now(e.cfg.Now())))
}

// isEdge says whether another edge asks, by what it says of itself. What it asks for is no demand, and it is led nowhere: it knows the others and the origin itself.
func isEdge(r *http.Request) bool { return strings.HasSuffix(r.UserAgent(), deliver.EdgeServer) }

// obtainFor obtains a content for a request that is for a file of it. It has answered if c is nil; else use(-1) is the caller's.
func (e *Edge) obtainFor(w http.ResponseWriter, r *http.Request, k *known, file string) (c *content, whole bool) {
	c, whole, err := e.obtain(r.Context(), k, !isEdge(r))
	if err != nil {
		e.elsewhereFor(w, r, k, file, err)
		return nil, false
	}
	return c, whole
}

// serve serves a file of a content, by its path below the content's key.
func (e *Edge) serve(w http.ResponseWriter, r *http.Request, k *known, file string) {
	h, _ := e.shelf.get(k.key)
	was := h.whole
	edge := isEdge(r)
	if r.Method == http.MethodGet && !was && !edge { // counted before it is decided whether to keep it
		e.shelf.touch(k.key, e.shareOf(k, r, file), e.cfg.Now())
	}
	c, whole := e.obtainFor(w, r, k, file)
	if c == nil {
		return
	}
	defer func() { c.use(-1) }()
	out, led := &counted{ResponseWriter: w}, false
	defer func() {
		if led { // it is counted
			return
		}
		e.count.served(edge, was, out.n)
		if !edge && was && out.n > 0 {
			e.shelf.touch(k.key, float64(out.n)/float64(max(k.bytes, 1)), e.cfg.Now())
		}
	}()
	if !whole {
		e.servePartial(out, r, c, file)
		return
	}
	for tries := 0; e.serveWhole(out, r, c, file); tries++ {
		if tries == mostMends {
			busy(out, "it is being mended")
			return
		}
		e.mend(k.key, c, false) // and it is waited for, as for what is not here
		again, whole, err := e.obtain(r.Context(), k, !edge)
		if err != nil {
			led = true
			e.elsewhereFor(out, r, k, file, err)
			return
		}
		c.use(-1)
		c = again
		if was = whole; !whole {
			e.servePartial(out, r, c, file)
			return
		}
	}
}

// mostMends is how often who asks for a file waits for it to be mended: others see that, too, and one who sees it late may have it looked at once more.
const mostMends = 3

// serveWhole serves a file of a content that is whole. gone says that the file is not what was verified any more, and nothing was answered.
func (e *Edge) serveWhole(out *counted, r *http.Request, c *content, file string) (gone bool) {
	switch err := e.openWeb(c); {
	case errors.Is(err, errReplaced):
		return true
	case err != nil:
		busy(out, "cannot be read")
		return false
	}
	in := *r
	in.URL = &url.URL{Path: "/content/" + c.key + "/" + file}
	if e.web.Serve(out, &in) != nil {
		return true
	}
	if out.n > 0 && out.n <= maxSmall && out.code == http.StatusOK {
		e.remember(r, c, file, out.Header())
	}
	return false
}

// shareOf is which part of a content is asked for: for a tree that is not described here it is a guess.
func (e *Edge) shareOf(k *known, r *http.Request, file string) float64 {
	var first, last int64
	if n, _ := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last); n == 2 && last >= first {
		return min(1, float64(last-first+1)/float64(max(k.bytes, 1)))
	}
	if file == k.name || k.bytes == 0 {
		return 1
	}
	e.mu.Lock()
	c := e.contents[k.key]
	e.mu.Unlock()
	if c != nil {
		c.mu.Lock()
		t := c.torrent
		c.mu.Unlock()
		if t != nil {
			if f := fileNamed(t, file); f != nil {
				return float64(f.Length) / float64(max(t.Length, 1))
			}
		}
	}
	return 0.1
}

// elsewhereFor answers for what cannot be served here.
func (e *Edge) elsewhereFor(w http.ResponseWriter, r *http.Request, k *known, file string, err error) {
	e.answerElsewhere(w, r, err, func() string { return e.whereElse(r, k, file, err) })
}

// answerElsewhere leads to the URL that where says, empty if there is none at the moment. Another edge is led nowhere.
func (e *Edge) answerElsewhere(w http.ResponseWriter, r *http.Request, err error, where func() string) {
	if isEdge(r) {
		busy(w, "it cannot be fetched at the moment")
		return
	}
	if errors.Is(err, context.Canceled) {
		e.count.misses.Add(1)
		return
	}
	if to := where(); to != "" {
		e.count.redirects.Add(1)
		lead(w, r, to)
		return
	}
	e.count.misses.Add(1)
	busy(w, "it cannot be fetched at the moment")
}

// lead leads to where something is now.
func lead(w http.ResponseWriter, r *http.Request, to string) {
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, to, http.StatusTemporaryRedirect)
}

// whereElse is the URL of a file where this edge does not keep it: at the edge that does, else at the origin.
func (e *Edge) whereElse(r *http.Request, k *known, file string, err error) string {
	if e.ring != nil && errors.Is(err, errElsewhere) {
		m, ok, silent := e.ring.keeper(r.Context(), k.key)
		if ok {
			return m.forClients("/content/"+k.key+"/"+file, r.TLS != nil)
		}
		if silent && strings.Contains(r.URL.Path, "/content/") && e.ring.orphaned(k.key, e.cfg.Now()) { // so machines ask, which come again
			return ""
		}
	}
	if k.from == nil {
		return ""
	}
	return k.from.redirect(k, file)
}

// fileNamed finds a file by its path below the content's key.
func fileNamed(t *piece.Torrent, name string) *piece.File {
	for i := range t.Files {
		if f := &t.Files[i]; f.Symlink == nil && f.Name(t.Info) == name {
			return f
		}
	}
	return nil
}
