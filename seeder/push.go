package seeder

import (
	"crypto/subtle"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"shoal/internal/disk"
	"shoal/internal/release"
	"shoal/internal/webseed"
)

// Pushes takes what publishers bring to a repository over HTTP, from those who know a token:
//
//	GET  /api/v1/push/PATH     204 with Upload-Offset: how much of a file is here; X-Complete: it is public already
//	PUT  /api/v1/push/PATH     the rest of a file, from Upload-Offset on
//	POST /api/v1/push          the roles (JSON) that are to take effect: 200, 409 if somebody else was faster, 422 if it is not as it should be
//
// PATH is that of a public file. Files wait in the repository's directory incoming and become public all at once, after every signature, document and byte of content has
// been checked. The token keeps strangers from filling the disk; what may be published is decided by signatures alone.
type Pushes struct {
	Repository *release.Repository
	Token      string
	// Limit returns what bounds the body of a request. Nil: nothing does.
	Limit func(r *http.Request) webseed.Limiter
	Log   *slog.Logger

	mu   sync.Mutex
	busy map[string]bool // paths that somebody is writing
}

// PushPath is where pushes go; files are below it.
const PushPath = "/api/v1/push"

const maxPushRoles = 64 << 10 // roles in one push, and their JSON in units of 1 KiB

func (p *Pushes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || p.Token == "" || subtle.ConstantTimeCompare([]byte(token), []byte(p.Token)) != 1 {
		http.Error(w, "a token is needed, and this is not it", http.StatusUnauthorized)
		return
	}
	path, isFile := strings.CutPrefix(r.URL.Path, PushPath+"/")
	switch {
	case isFile && !mayPush(path):
		http.Error(w, "not a file that is pushed", http.StatusForbidden)
	case isFile && r.Method == http.MethodGet:
		p.offset(w, path)
	case isFile && r.Method == http.MethodPut:
		p.put(w, r, path)
	case !isFile && r.Method == http.MethodPost:
		p.commit(w, r)
	default:
		http.Error(w, "not a request of a push", http.StatusMethodNotAllowed)
	}
}

// mayPush says whether a public file comes from publishers.
func mayPush(path string) bool {
	if !fs.ValidPath(path) || strings.Contains(path, "\\") || len(path) > 4096 {
		return false
	}
	for _, prefix := range []string{"metadata/", "targets/releases/", "targets/channels/", "targets/metainfo/"} {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	parts := strings.SplitN(path, "/", 3)
	return parts[0] == "content" && len(parts) == 3 && isKey(parts[1])
}

func isKey(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

func (p *Pushes) incoming() string { return filepath.Join(p.Repository.Dir(), "incoming") }

// offset tells how much of a file is here.
func (p *Pushes) offset(w http.ResponseWriter, path string) {
	n := int64(0)
	if info, err := os.Lstat(filepath.Join(p.Repository.Public(), filepath.FromSlash(path))); err == nil && info.Mode().IsRegular() && !p.damaged(path) {
		n = info.Size()
		w.Header().Set("X-Complete", "1")
	} else if info, err := os.Lstat(filepath.Join(p.incoming(), filepath.FromSlash(path))); err == nil && info.Mode().IsRegular() {
		n = info.Size()
	}
	w.Header().Set("Upload-Offset", strconv.FormatInt(n, 10))
	w.WriteHeader(http.StatusNoContent)
}

// claim keeps two requests from writing one file.
func (p *Pushes) claim(path string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy[path] {
		return false
	}
	if p.busy == nil {
		p.busy = map[string]bool{}
	}
	p.busy[path] = true
	return true
}

func (p *Pushes) release(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.busy, path)
}

func (p *Pushes) put(w http.ResponseWriter, r *http.Request, path string) {
	if !p.claim(path) {
		http.Error(w, "somebody is writing this file", http.StatusConflict)
		return
	}
	defer p.release(path)
	at, err := strconv.ParseInt(r.Header.Get("Upload-Offset"), 10, 64)
	if err == nil && r.ContentLength < 0 {
		err = errors.New("a length is needed")
	}
	if err != nil {
		http.Error(w, "needs Upload-Offset and Content-Length", http.StatusBadRequest)
		return
	}
	body := io.Reader(r.Body)
	if p.Limit != nil {
		limit := p.Limit(r)
		body = &paced{r.Body, func(n int) error { return limit.WaitN(r.Context(), n) }}
	}
	err = p.write(body, path, at, r.ContentLength)
	answerSoon(w)
	if err != nil {
		p.Log.Warn("push", "path", path, "err", err)
		status := http.StatusInternalServerError
		if errors.Is(err, errOffset) {
			status = http.StatusConflict
		} else if disk.IsNoSpace(err) {
			status = http.StatusInsufficientStorage
		}
		http.Error(w, "not written", status)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// answerSoon begins the time that an answer may take when it is known: what came before it, a body over a slow line or the verification of a large
// content, is not the client's.
func answerSoon(w http.ResponseWriter) {
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(30 * time.Second)) // not every ResponseWriter has deadlines
}

// paced waits after what it has read.
type paced struct {
	io.Reader
	wait func(n int) error
}

func (p *paced) Read(b []byte) (int, error) {
	const slice = 16 << 10
	n, err := p.Reader.Read(b[:min(len(b), slice)])
	if n > 0 {
		if stopped := p.wait(n); stopped != nil {
			return n, stopped
		}
	}
	return n, err
}

var errOffset = errors.New("not where the file ends")

// write appends to a file in incoming. What came of a request that breaks off stays.
func (p *Pushes) write(body io.Reader, path string, at, n int64) error {
	if err := os.MkdirAll(p.incoming(), 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(p.incoming())
	if err != nil {
		return err
	}
	defer root.Close()
	name := filepath.FromSlash(path)
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if at != 0 && info.Size() != at {
		return errOffset
	}
	if at == 0 { // small files are sent as a whole, and may be others than those of a push before
		if err := f.Truncate(0); err != nil {
			return err
		}
	}
	if err := disk.Reserve(f, at, n); err != nil {
		return err
	}
	if _, err := f.Seek(at, io.SeekStart); err != nil {
		return err
	}
	if _, err := io.Copy(f, body); err != nil {
		return err
	}
	return f.Sync()
}
