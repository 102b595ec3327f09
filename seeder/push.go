package seeder

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
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

	"shoal/internal/deliver"
	"shoal/internal/disk"
	"shoal/internal/release"
	"shoal/internal/webseed"
	"shoal/piece"
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

// PushResult is what a push has done, or why it has not.
type PushResult struct {
	Rule    string   `json:"rule,omitempty"`
	Message string   `json:"message,omitempty"`
	Signed  []string `json:"signed,omitempty"`
	Logged  []string `json:"logged,omitempty"`
}

func (p *Pushes) commit(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, result PushResult) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		if err := json.NewEncoder(w).Encode(result); err != nil {
			p.Log.Debug("push", "err", err)
		}
	}
	var roles []release.PushedRole
	if err := json.NewDecoder(io.LimitReader(r.Body, maxPushRoles<<10)).Decode(&roles); err != nil || len(roles) > maxPushRoles {
		answer(http.StatusBadRequest, PushResult{Message: "not a list of roles"})
		return
	}
	done, err := p.accept(r.Context(), roles)
	answerSoon(w)
	var refusal *release.Refusal
	var missing *release.KeysMissingError
	switch {
	case errors.As(err, &missing):
		answer(http.StatusUnprocessableEntity, PushResult{Rule: "keys-missing", Message: fmt.Sprintf("a key of %s is not there: bring it to keys/online of the origin's repository first", missing.Role)})
	case err == nil:
		result := PushResult{Signed: done.Signed}
		for _, e := range done.Logged {
			result.Logged = append(result.Logged, e.String())
		}
		p.Log.Info("pushed", "roles", done.Signed)
		answer(http.StatusOK, result)
	case errors.Is(err, release.ErrConflict):
		answer(http.StatusConflict, PushResult{Rule: "conflict", Message: err.Error()})
	case errors.As(err, &refusal):
		answer(http.StatusUnprocessableEntity, PushResult{Rule: string(refusal.Rule), Message: refusal.Message})
	case errors.Is(err, piece.ErrCorrupt), errors.Is(err, release.ErrPublished), errors.Is(err, release.ErrAbsent), errors.Is(err, fs.ErrNotExist):
		answer(http.StatusUnprocessableEntity, PushResult{Rule: "incomplete", Message: err.Error()})
	default:
		p.Log.Error("push", "err", err)
		answer(http.StatusInternalServerError, PushResult{Message: "it could not be taken over: see the log there"})
	}
}

// damaged says whether a public file that has its hash in its name is another than that: it is brought anew.
func (p *Pushes) damaged(path string) bool {
	if !strings.HasPrefix(path, "targets/") {
		return false
	}
	b, _, err := release.Dir(p.Repository.Public()).Get(context.Background(), path, release.MaxMetainfo, "")
	return err != nil || !isOf(path, b)
}

// isOf says whether bytes are those that the name of a target's file has the hash of.
func isOf(path string, b []byte) bool {
	hash, _, _ := strings.Cut(path[strings.LastIndexByte(path, '/')+1:], ".")
	return fmt.Sprintf("%x", sha256.Sum256(b)) == hash
}

// brought are the files of a push: those in incoming, and documents that are public already, as that of a channel which is set back within the second is. These are
// not sent.
type brought struct{ incoming, public release.Dir }

// Get implements release.Files.
func (f brought) Get(ctx context.Context, path string, limit int64, tag string) ([]byte, string, error) {
	if strings.HasPrefix(path, "targets/") {
		if b, tag, err := f.public.Get(ctx, path, limit, tag); err == nil && isOf(path, b) {
			return b, tag, nil
		}
	}
	return f.incoming.Get(ctx, path, limit, tag)
}

// accept checks everything and has it take effect.
func (p *Pushes) accept(ctx context.Context, roles []release.PushedRole) (*release.Done, error) {
	done, err := p.Repository.Update(ctx, func(tx *release.Tx) error {
		accepted, err := tx.Accept(brought{release.Dir(p.incoming()), release.Dir(p.Repository.Public())}, roles)
		if err != nil {
			return err
		}
		for _, a := range accepted {
			if err := p.content(ctx, a); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return done, p.sweep()
}

// sweep removes from incoming what is public now. What belongs to another push stays.
func (p *Pushes) sweep() error {
	return filepath.WalkDir(p.incoming(), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && d.IsDir() {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(p.incoming(), path)
		if err != nil {
			return err
		}
		if _, err := os.Lstat(filepath.Join(p.Repository.Public(), rel)); err != nil {
			return nil
		}
		return os.Remove(path)
	})
}

// content verifies a content of a release and makes it public.
func (p *Pushes) content(ctx context.Context, a *release.Accepted) error {
	t, err := deliver.UnpackMetainfo(a.Packed, &a.Artefact)
	if err != nil {
		return err
	}
	v2 := a.Artefact.V2
	public := p.Repository.ContentDir(v2)
	if _, err := os.Lstat(public); err == nil {
		return nil // it was verified when it came here
	}
	came := filepath.Join(p.incoming(), "content", v2)
	if err := removeOthers(t, came); err != nil {
		return err
	}
	if err := completeTree(t, came); err != nil {
		return err
	}
	report, err := piece.Verify(ctx, t.Info, filepath.Join(came, t.Name), piece.VerifyConfig{})
	if err != nil {
		return err
	}
	if !report.OK() {
		// What is wrong must be sent anew, and not be taken for what is there already.
		if err := os.RemoveAll(came); err != nil {
			return err
		}
		return fmt.Errorf("%s of %s for %s: %w", t.Name, a.Ref, a.Platform, piece.ErrCorrupt)
	}
	if err := os.MkdirAll(filepath.Dir(public), 0o755); err != nil {
		return err
	}
	if err := os.Rename(came, public); err != nil {
		return err
	}
	return disk.SyncDir(filepath.Dir(public))
}

// removeOthers removes files that are not the torrent's: whoever knows the token could have them published unsigned.
func removeOthers(t *piece.Torrent, dir string) error {
	names := map[string]bool{}
	for i := range t.Files {
		names[t.Files[i].Name(t.Info)] = true
	}
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && d.IsDir() {
			return nil
		}
		if err != nil {
			return err
		}
		if rel, err := filepath.Rel(dir, path); err != nil || names[filepath.ToSlash(rel)] {
			return err
		}
		return os.Remove(path)
	})
}

// completeTree adds what is not sent because the torrent tells all of it: empty files, symlinks, who may run what. Names are the torrent's, which were checked.
func completeTree(t *piece.Torrent, dir string) error {
	made := dir
	if t.Dir {
		made = filepath.Join(dir, t.Name)
	}
	if err := os.MkdirAll(made, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for i := range t.Files {
		f := &t.Files[i]
		name := filepath.FromSlash(f.Name(t.Info))
		if f.Symlink == nil && f.Length > 0 {
			if f.Executable {
				if err := root.Chmod(name, 0o755); err != nil {
					return err
				}
			}
			continue
		}
		if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if f.Symlink != nil {
			up := strings.Repeat("../", len(f.Path)-1)
			if err := root.Symlink(up+strings.Join(f.Symlink, "/"), name); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
			continue
		}
		mode := fs.FileMode(0o644)
		if f.Executable {
			mode = 0o755
		}
		if err := root.WriteFile(name, nil, mode); err != nil {
			return err
		}
	}
	return nil
}
