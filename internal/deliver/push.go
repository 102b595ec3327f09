package deliver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"shoal/internal/release"
)

// PushConfig says where a publish is to be brought.
type PushConfig struct {
	URL       *url.URL // of the origin's repository
	Token     string
	UserAgent string
	// Progress is told how many bytes of content have been sent, of how many.
	Progress func(done, total int64)
}

// Pushed is what a push has done.
type Pushed struct {
	Roles []string // that were brought
	Bytes int64    // that were sent
	// Nothing says that the origin had everything.
	Nothing bool
}

// PushError is an origin's refusal.
type PushError struct {
	Status        int
	Rule, Message string
}

func (e *PushError) Error() string { return "the origin refuses: " + e.Message }

// Is makes a conflict a release.ErrConflict.
func (e *PushError) Is(target error) bool {
	return target == release.ErrConflict && e.Status == http.StatusConflict
}

// pusher is one push under way.
type pusher struct {
	c      PushConfig
	r      *release.Repository
	client *http.Client
	sent   int64
	total  int64
	done   int64
}

// Push brings what was published in a repository to its origin. It goes on where one before was interrupted; the origin checks everything before any of it takes
// effect. If somebody else has published the same app meanwhile, nothing is changed there, and the error is a release.ErrConflict.
func Push(ctx context.Context, r *release.Repository, c PushConfig) (*Pushed, error) {
	root, err := r.FirstRoot(ctx) // the origin may be behind, or ahead
	if err != nil {
		return nil, err
	}
	w := newWeb(c.URL, c.UserAgent)
	defer w.Close()
	refresh := func() (*release.Trust, error) {
		t, err := release.NewTrust(ctx, release.TrustConfig{Files: w, Root: root})
		if err != nil {
			return nil, err
		}
		return t, t.Refresh(ctx)
	}
	t, err := refresh()
	if err != nil {
		return nil, err
	}
	p := &pusher{c: c, r: r, client: &http.Client{Transport: w.client.Transport}}
	if _, _, err := p.offset(ctx, "metadata/timestamp.json"); err != nil { // also where nothing is to be pushed: it may be tried for its token's sake
		return nil, err
	}
	out, err := r.Compare(ctx, t)
	if err != nil {
		return nil, err
	}
	result := &Pushed{Nothing: len(out.Roles) == 0}
	if !result.Nothing {
		if err := p.push(ctx, out); err != nil {
			return nil, err
		}
		if t, err = refresh(); err != nil {
			return nil, err
		}
	}
	for _, role := range out.Roles {
		result.Roles = append(result.Roles, fmt.Sprintf("%s %d", role.Role, role.Version))
	}
	result.Bytes = p.sent
	return result, r.Adopt(ctx, t)
}

func (p *pusher) push(ctx context.Context, out *release.Outgoing) error {
	inPlace, err := p.r.InPlace()
	if err != nil {
		return err
	}
	o := dirOpener{p.r.Public(), inPlace}
	for _, l := range out.Contents {
		p.total += l.Artefact.Bytes
	}
	for _, l := range out.Contents {
		if err := p.content(ctx, o, l); err != nil {
			return fmt.Errorf("pushing %s: %w", l.Ref(), err)
		}
	}
	for _, path := range out.Files {
		f, size, err := o.open(path)
		if errors.Is(err, os.ErrNotExist) {
			continue // a document that a later one has replaced
		}
		if err != nil {
			return err
		}
		err = p.file(ctx, path, f, size, true)
		f.Close()
		if err != nil {
			return err
		}
	}
	return p.commit(ctx, out.Roles)
}

// content sends the files of a content that the origin has not.
func (p *pusher) content(ctx context.Context, o opener, l *release.Live) error {
	packed, err := l.Metainfo()
	if err != nil {
		return err
	}
	t, err := UnpackMetainfo(packed, &l.Artefact)
	if err != nil {
		return err
	}
	for i := range t.Files {
		f := &t.Files[i]
		if f.Symlink != nil || f.Length == 0 {
			continue
		}
		path := "content/" + l.Artefact.V2 + "/" + f.Name(t.Info)
		c, size, err := o.open(path)
		if err != nil {
			return err
		}
		err = p.file(ctx, path, c, size, false)
		c.Close()
		if err != nil {
			return err
		}
		if p.done += size; p.c.Progress != nil {
			p.c.Progress(p.done, p.total)
		}
	}
	return nil
}

// sliceBytes is how much goes in one request: what an interruption may cost.
const sliceBytes = 16 << 20

// file sends what the origin has not of a file; a whole one is sent anew if it is not public there yet.
func (p *pusher) file(ctx context.Context, path string, r io.ReaderAt, size int64, whole bool) error {
	at, complete, err := p.offset(ctx, path)
	if err != nil {
		return err
	}
	if complete && at == size {
		return nil
	}
	if whole || at > size {
		at = 0
	}
	for first := true; first && size == 0 || at < size; first = false {
		n := min(sliceBytes, size-at)
		resp, err := p.do(ctx, http.MethodPut, path, io.NewSectionReader(r, at, n), n, at)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusNoContent {
			return &PushError{resp.StatusCode, "", fmt.Sprintf("%s: %s", path, resp.Status)}
		}
		at += n
		p.sent += n
	}
	return nil
}

func (p *pusher) offset(ctx context.Context, path string) (at int64, complete bool, err error) {
	resp, err := p.do(ctx, http.MethodGet, path, nil, 0, 0)
	if err != nil {
		return 0, false, err
	}
	resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusNoContent:
	case http.StatusUnauthorized:
		return 0, false, &PushError{resp.StatusCode, "token", "the token is not the one that it knows"}
	default:
		return 0, false, &PushError{resp.StatusCode, "", fmt.Sprintf("it does not take pushes (%s)", resp.Status)}
	}
	at, err = strconv.ParseInt(resp.Header.Get("Upload-Offset"), 10, 64)
	if err != nil || at < 0 {
		return 0, false, &PushError{resp.StatusCode, "", "it does not take pushes"}
	}
	return at, resp.Header.Get("X-Complete") != "", nil
}

// do makes a request; path is a public file, or empty for the push itself.
func (p *pusher) do(ctx context.Context, method, path string, body io.Reader, n, at int64) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	u := *p.c.URL // its path ends in a slash; names in a tree may have any characters
	u.RawPath = ""
	if u.Path += "api/v1/push"; path != "" {
		u.Path += "/" + path
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		cancel()
		return nil, err
	}
	req.ContentLength = n
	req.Header.Set("Authorization", "Bearer "+p.c.Token)
	req.Header.Set("User-Agent", p.c.UserAgent)
	req.Header.Set("Upload-Offset", strconv.FormatInt(at, 10))
	resp, err := p.client.Do(req)
	if err != nil {
		cancel()
		var op *url.Error
		if errors.As(err, &op) {
			err = op.Err
		}
		return nil, &Error{ErrNoSource, fmt.Sprintf("asking %s: %v", p.c.URL.Redacted(), err), "what was sent is kept there: run it again to go on"}
	}
	resp.Body = cancelBody{resp.Body, cancel}
	return resp, nil
}

// cancelBody ends its request's context when it is closed.
type cancelBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b cancelBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

func (p *pusher) commit(ctx context.Context, roles []release.PushedRole) error {
	b, err := json.Marshal(roles)
	if err != nil {
		return err
	}
	resp, err := p.do(ctx, http.MethodPost, "", bytes.NewReader(b), int64(len(b)), 0)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var result struct{ Rule, Message string }
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&result); err != nil {
		result.Message = resp.Status
	}
	if resp.StatusCode != http.StatusOK {
		return &PushError{resp.StatusCode, result.Rule, result.Message}
	}
	return nil
}
