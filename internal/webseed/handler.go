package webseed

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Limiter bounds what is sent. Its rate may change at any moment.
type Limiter interface {
	// WaitN waits until n more bytes may be sent.
	WaitN(ctx context.Context, n int) error
	// Rate is the bound in bytes per second; 0: none.
	Rate() int64
}

// Handler serves contents. The zero value is ready and serves none. Its methods are safe for concurrent use.
type Handler struct {
	// Limit returns what bounds the answer to a request. Nil: nothing does. Set before the first request.
	Limit func(r *http.Request) Limiter

	// Responses bounds how many files are sent at the same time: each needs two descriptors. Beyond it the answer is 503, and for one client when as many
	// are left for others as it has. 0: any number. Set before the first request.
	Responses int

	sendTime time.Duration // how long a response may make no progress; 0: stallTime
	total    atomic.Int64
	sending  room // responses under way

	mu    sync.RWMutex
	byKey map[string]*entry
	plain map[string]*entry
}

// Add serves a content from now on. Its key must be new; of two Plain contents of one name the first has the plain URL.
func (h *Handler) Add(c Content) error {
	e, err := newEntry(c)
	if err != nil {
		return fmt.Errorf("web seed: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byKey == nil {
		h.byKey, h.plain = map[string]*entry{}, map[string]*entry{}
	}
	if h.byKey[e.Key] != nil {
		return fmt.Errorf("web seed: %s is served already", e.Key)
	}
	h.byKey[e.Key] = e
	if e.Plain && h.plain[e.Name] == nil {
		h.plain[e.Name] = e
	}
	return nil
}

// Remove stops serving a content; transfers under way end within a slice. Unknown keys are ignored.
func (h *Handler) Remove(key string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.byKey[strings.ToLower(key)]
	if e == nil {
		return
	}
	e.removed.Store(true)
	delete(h.byKey, e.Key)
	if h.plain[e.Name] != e {
		return
	}
	delete(h.plain, e.Name)
	for _, other := range h.byKey { // the next of that name gets the plain URL
		if other.Plain && other.Name == e.Name {
			h.plain[e.Name] = other
			break
		}
	}
}

// Sent is how many bytes of a content's files were sent since it was added (with the few between several ranges), 0 for an unknown key.
func (h *Handler) Sent(key string) int64 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if e := h.byKey[strings.ToLower(key)]; e != nil {
		return e.sent.Load()
	}
	return 0
}

// Total is how many bytes of all contents were sent, removed ones included.
func (h *Handler) Total() int64 { return h.total.Load() }

// find returns the file that the path of a URL, decoded, names.
func (h *Handler) find(path string) (e *entry, i int, ok bool) {
	rest, byKey := strings.CutPrefix(path, "/content/")
	h.mu.RLock()
	if byKey {
		key, r, _ := strings.Cut(rest, "/")
		e, rest = h.byKey[strings.ToLower(key)], r
	} else if rest, ok = strings.CutPrefix(path, "/"); ok {
		name, _, _ := strings.Cut(rest, "/")
		e = h.plain[name]
	}
	h.mu.RUnlock()
	if e == nil {
		return nil, 0, false
	}
	i, ok = e.find(rest)
	return e, i, ok
}

// byKey says whether a request names the content by its hash, as the clients of swarms do.
func byKey(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/content/") }

// maxRange is the longest Range header that is looked at: a dozen ranges. A server may ignore Range, and then sends the file once instead of
// assembling thousands of parts.
const maxRange = 512

// IgnoreRange takes a Range out of a request that is to be ignored: an unreasonable one, or one of another unit than bytes (RFC 9110, 14.2), which net/http would refuse.
func IgnoreRange(r *http.Request) {
	if v := r.Header.Get("Range"); len(v) > maxRange || !strings.HasPrefix(v, "bytes=") {
		r.Header.Del("Range")
	}
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch gone := h.Serve(w, r); {
	case errors.Is(gone, errNoContent):
		notHere(w)
	case gone != nil:
		http.Error(w, "this content is not here any more as it was", http.StatusGone)
	}
}

// errNoContent says that a content is not here, or not any more.
var errNoContent = errors.New("there is no such content here")

func notHere(w http.ResponseWriter) {
	http.Error(w, "there is no such content here, or no such file in it", http.StatusNotFound)
}

// Serve is ServeHTTP for who can have a file again: one that is not the one that was verified, or whose content has just been removed, is not answered, and gone says why.
func (h *Handler) Serve(w http.ResponseWriter, r *http.Request) (gone error) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return nil
	}
	e, i, ok := h.find(r.URL.Path)
	switch {
	case e == nil:
		return errNoContent
	case !ok:
		notHere(w)
		return nil
	}
	end, ok := h.Begin(w, r)
	if !ok {
		return nil
	}
	defer end()
	f, fi, err := e.open(i)
	if errors.Is(err, errBusy) {
		busy(w)
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()

	header := w.Header()
	header.Set("ETag", e.tag(i))
	// Never a type that a browser would run: the status page of the same origin may hold more rights than a published file should get.
	header.Set("Content-Type", "application/octet-stream")
	header.Set("X-Content-Type-Options", "nosniff")
	if byKey(r) {
		header.Set("Cache-Control", "public, max-age=31536000, immutable") // the hash in the URL names the bytes
	} else {
		header.Set("Cache-Control", "no-cache")
	}
	IgnoreRange(r)
	s := &sender{ResponseWriter: w, r: r, h: h, e: e, i: i, f: f, checked: true}
	if h.Limit != nil {
		s.limit = h.Limit(r)
	}
	http.ServeContent(s, r, "", fi.ModTime(), f)
	if s.end(); s.err != nil {
		panic(http.ErrAbortHandler) // the other side must not take it for whole
	}
	return nil
}

// Begin takes room for a response, until end: of as many as Responses says, for one client as room says. Not ok: there is none, and that is answered.
func (h *Handler) Begin(w http.ResponseWriter, r *http.Request) (end func(), ok bool) {
	client := ClientOf(r)
	if !h.sending.enter(client, h.Responses) {
		busy(w)
		return nil, false
	}
	return func() { h.sending.leave(client) }, true
}

// busy answers that there are too many requests at the moment.
func busy(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "5")
	http.Error(w, "busy", http.StatusServiceUnavailable)
}
