package webfetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"shoal/piece"
)

// Config says what a Source is. URL and Info are needed.
type Config struct {
	URL  string // as it stands in the torrent, BEP 19
	Info *piece.Info
	// Client makes the requests, with our rules for redirects. Nil: one of the Source's own whose connections, headers and redirects are bounded.
	Client    *http.Client
	UserAgent string        // "" is "shoal"
	Idle      time.Duration // how long the server may be silent; zero means 30 s
}

// Source is one web seed for one torrent. It is safe for concurrent use.
type Source struct {
	base   *url.URL
	info   *piece.Info
	client *http.Client
	agent  string
	idle   time.Duration
	states validators
	role   atomic.Pointer[string]
}

// New checks the URL and asks for nothing.
func New(c Config) (*Source, error) {
	base, err := parseBase(c.URL)
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: newTransport(base)}
	if c.Client != nil {
		client = *c.Client
	}
	client.CheckRedirect = checkRedirect
	return &Source{base: base, info: c.Info, client: &client, agent: cmp.Or(c.UserAgent, "shoal"), idle: cmp.Or(c.Idle, 30*time.Second)}, nil
}

// URL is the web seed's, without a password.
func (s *Source) URL() string { return s.base.Redacted() }

// Addr is HOST:PORT of the web seed.
func (s *Source) Addr() string { return HostPort(s.base) }

// Close lets go of idle connections. A Fetch under way goes on.
func (s *Source) Close() { s.client.CloseIdleConnections() }

// Fetch gets [off, off+n) of the piece space and calls emit with each stretch of content as it comes, in order; gaps are skipped. The bytes are
// unverified, and b is only valid during the call. An error of emit ends the fetch and is returned. When Fetch fails, what was emitted until
// then came from where it should.
func (s *Source) Fetch(ctx context.Context, off, n int64, emit func(off int64, b []byte) error) error {
	return s.FetchFrom(ctx, off, n, func(Answer) {}, emit)
}

// Answer says who has answered a request.
type Answer struct {
	Led  bool // another host than the one that was asked, which had led there
	Edge bool // it says that it is an edge
}

// EdgeServer ends the Server header of an edge: a copy of repositories, and not their origin.
const EdgeServer = " (edge)"

func (s *Source) answerOf(resp *http.Response) Answer {
	return Answer{Led: resp.Request.URL.Host != s.base.Host, Edge: strings.HasSuffix(resp.Header.Get("Server"), EdgeServer)}
}

// FetchFrom is Fetch for who wants to know where it comes from: answered is called before the content that an answer brings is emitted.
func (s *Source) FetchFrom(ctx context.Context, off, n int64, answered func(Answer), emit func(off int64, b []byte) error) error {
	if off < 0 || n < 0 || n > s.info.Space()-off {
		return fmt.Errorf("web seed: [%d, +%d) is not in the torrent's %d bytes", off, n, s.info.Space())
	}
	for seg := range s.info.Segments(off, n) {
		if err := s.fetch(ctx, seg, answered, emit); err != nil {
			return err
		}
	}
	return nil
}

// buffers are large enough for a read to go past net/http's own buffer and to take what the socket has.
var buffers = sync.Pool{New: func() any { return new([128 << 10]byte) }}

// fetch gets a stretch of one file by one request.
func (s *Source) fetch(ctx context.Context, seg piece.Segment, answered func(Answer), emit func(int64, []byte) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(s.idle, func() { cancel(ErrIdle) })
	defer watch.Stop()

	resp, err := s.ask(ctx, seg)
	if err != nil {
		return s.why(ctx, err)
	}
	defer resp.Body.Close()
	q := wanted{file: seg.File, first: seg.FileOffset, n: seg.Length, length: s.info.Files[seg.File].Length}
	usable := resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusPartialContent
	// Behind a redirector each answer may come from another mirror, whose tags mean nothing to the next.
	by := s.answerOf(resp)
	if usable && !by.Led && !s.states.see(seg.File, validatorOf(resp.Header)) {
		return &Changed{File: seg.File, URL: resp.Request.URL.Redacted(), Reason: "it is another version than before"}
	}
	skip, err := q.check(resp, time.Now())
	if err != nil {
		if !usable {
			drain(resp, watch)
		}
		return err
	}
	answered(by)

	buf := buffers.Get().(*[128 << 10]byte)
	defer buffers.Put(buf)
	for at, end := -skip, seg.Length; at < end; {
		if ctx.Err() != nil { // net/http notices only when it next waits for the network
			return s.why(ctx, context.Cause(ctx))
		}
		room := int64(len(buf))
		if at < 0 {
			room = min(room, -at)
		} else {
			room = min(room, end-at)
		}
		watch.Reset(s.idle)
		n, err := resp.Body.Read(buf[:room])
		watch.Stop() // how long emit takes is not the server's fault
		if n > 0 && at >= 0 {
			if err := emit(seg.Offset+at, buf[:n]); err != nil {
				return err
			}
		}
		at += int64(n)
		if err != nil && at < end {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return s.why(ctx, fmt.Errorf("%s: %w", resp.Request.URL.Redacted(), err))
		}
	}
	return nil // a body that goes on is not read: Close then ends the connection as well
}

func (s *Source) ask(ctx context.Context, seg piece.Segment) (*http.Response, error) {
	req := (&http.Request{Method: http.MethodGet, URL: fileURL(s.base, s.info, seg.File), Header: http.Header{}}).WithContext(ctx)
	req.Header.Set("User-Agent", s.agent)
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", seg.FileOffset, seg.FileOffset+seg.Length-1))
	if v := s.states.get(seg.File); v.strong() {
		req.Header.Set("If-Range", v.etag) // if it has changed the answer is a 200, and not the wrong bytes
	}
	return s.client.Do(req)
}

// why finds the reason behind an error of net/http.
func (s *Source) why(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), ErrIdle) {
		return fmt.Errorf("%s: %w for %v", s.URL(), ErrIdle, s.idle)
	}
	return err
}

// drain reads the few bytes of an error page, so that the connection can be used again.
func drain(resp *http.Response, watch *time.Timer) {
	if resp.ContentLength > maxSkip {
		return
	}
	watch.Reset(time.Second)
	io.CopyN(io.Discard, resp.Body, maxSkip)
}
