package deliver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"shoal/internal/release"
	"shoal/swarm/webfetch"
)

// web is a repository on a web server; it is a release.Files. Its connections are kept for the next file.
type web struct {
	base   *url.URL // ends in a slash
	client *http.Client
	agent  string
	shoal  atomic.Bool                // a Shoal node has answered
	edge   atomic.Bool                // it is an edge
	remote atomic.Pointer[netip.Addr] // of the server, once it has answered
	twins  atomic.Pointer[[]*url.URL] // where else the same repository is, as the server says; see duplicates
	time   time.Duration              // how long a file may take
}

// fileTime bounds the way of one file of a repository: who sends it byte by byte holds nobody up for long (TUF's slow retrieval).
const fileTime = 60 * time.Second

func newWeb(base *url.URL, userAgent string) *web {
	w := &web{base: base, agent: userAgent, time: fileTime}
	tr := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: w.dial,
		TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 20 * time.Second, MaxResponseHeaderBytes: 64 << 10,
		DisableCompression: true, // a length that is promised is that of the bytes that come
	}
	w.client = &http.Client{Transport: tr}
	return w
}

// dial connects, and remembers where the server is, unless it is reached through a proxy.
func (w *web) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if host, _, err := net.SplitHostPort(addr); err == nil && host == w.base.Hostname() {
		if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
			ip := a.AddrPort().Addr().Unmap()
			w.remote.Store(&ip)
		}
	}
	return c, nil
}

// Close lets go of the connections.
func (w *web) Close() { w.client.CloseIdleConnections() }

// Get implements release.Files; tags are ETags.
func (w *web) Get(ctx context.Context, path string, limit int64, tag string) ([]byte, string, error) {
	ctx, cancel := context.WithTimeout(ctx, w.time)
	defer cancel()
	u := w.base.JoinPath(path)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, "", &Error{ErrSource, err.Error(), sourceForms}
	}
	req.Header.Set("User-Agent", w.agent)
	if tag != "" {
		req.Header.Set("If-None-Match", tag)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return nil, "", w.failed(ctx, u, err)
	}
	defer resp.Body.Close()
	// An edge leads to others for what it does not keep: these speak for themselves alone.
	if server := resp.Header.Get("Server"); strings.HasPrefix(server, "Shoal/") && resp.Request.URL.Host == u.Host {
		w.shoal.Store(true)
		w.edge.Store(strings.HasSuffix(server, EdgeServer))
		w.hearDuplicates(resp.Header, path)
	}
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusBadGateway:
		if w.edge.Load() {
			return nil, "", &Error{ErrNoSource, fmt.Sprintf("%s: this edge has not got it, and its origin does not answer", u.Redacted()), "come again when the origin does, or ask another edge that has it"}
		}
		return nil, "", answers(u, resp)
	case http.StatusNotModified:
		if tag != "" {
			return nil, "", release.ErrUnchanged
		}
		fallthrough
	default:
		return nil, "", answers(u, resp)
	case http.StatusNotFound, http.StatusGone, http.StatusForbidden: // object stores answer 403 for what is not there
		// A short body is read, so that the connection can be used again.
		_, _ = release.ReadLimited(resp.Body, 4<<10, path)
		return nil, "", release.ErrAbsent
	}
	if resp.ContentLength > limit {
		return nil, "", &release.Refusal{Rule: release.RuleEndless, Message: fmt.Sprintf("%s has %d bytes: at most %d", path, resp.ContentLength, limit)}
	}
	b, err := release.ReadLimited(resp.Body, limit, path)
	if err != nil && !errors.Is(err, release.ErrRefused) {
		return nil, "", w.failed(ctx, u, err)
	}
	return b, validator(resp.Header), err
}

// answers is the error for an answer that says nothing of the file.
func answers(u *url.URL, resp *http.Response) error {
	return &Error{ErrNoSource, fmt.Sprintf("%s: the server answers %s", u.Redacted(), resp.Status), ""}
}

// validator is the ETag that the file may be asked for again with. A web server makes it of the
// file's size and second of change: what changed again within that second has the same one
// (RFC 9110, 8.8.1), so a file that young has none.
func validator(h http.Header) string {
	if changed, err := http.ParseTime(h.Get("Last-Modified")); err == nil {
		if now, err := http.ParseTime(h.Get("Date")); err != nil || now.Sub(changed) < 2*time.Second {
			return ""
		}
	}
	return h.Get("ETag")
}

func (w *web) failed(ctx context.Context, u *url.URL, err error) error {
	if ctx.Err() != nil && context.Cause(ctx) == context.Canceled {
		return context.Canceled
	}
	var op *url.Error
	if errors.As(err, &op) {
		err = op.Err
	}
	return &Error{ErrNoSource, fmt.Sprintf("asking %s: %v", u.Redacted(), err), "is the address right, and does the server run?"}
}

// EdgeServer ends the Server header of an edge: a copy of repositories, and not their origin.
const EdgeServer = webfetch.EdgeServer
