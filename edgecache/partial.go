package edgecache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"shoal/internal/webseed"
	"shoal/piece"
)

// servePartial serves a file that is still coming: the range that is asked for is fetched before the rest.
func (e *Edge) servePartial(w http.ResponseWriter, r *http.Request, c *content, name string) {
	end, ok := e.web.Begin(w, r)
	if !ok {
		return
	}
	defer end()
	t, err := e.torrentOf(c)
	if err != nil {
		busy(w, "cannot be read")
		return
	}
	f := fileNamed(t, name)
	if f == nil {
		http.Error(w, "there is no such file in this content", http.StatusNotFound)
		return
	}
	h := w.Header()
	if f.Root != [32]byte{} {
		h.Set("ETag", fmt.Sprintf(`"%x"`, f.Root))
	}
	h.Set("Content-Type", "application/octet-stream")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-cache")
	ctx, cancel := context.WithCancelCause(r.Context())
	body := &partial{ctx: ctx, c: c, file: f}
	var watching sync.WaitGroup
	watching.Go(func() {
		if comesNoMore(ctx, body.waits.Load, c.received) {
			cancel(errNothingComes)
		}
	})
	defer watching.Wait()
	defer cancel(nil)
	defer webseed.BoundUnsent(r)()
	if at := rangeStart(r.Header.Get("Range"), f.Length); r.Method != http.MethodHead && r.Header.Get("If-None-Match") == "" && at < f.Length {
		body.at = at
		if _, err := body.Read(make([]byte, 1)); err != nil { // while an answer can still say so
			http.NewResponseController(w).SetWriteDeadline(time.Now().Add(takeTime)) // the one before has passed meanwhile
			busy(w, "cannot be had: "+err.Error())
			return
		}
	}
	http.ServeContent(&patient{w, e, r}, r, "", time.Time{}, body)
	if body.err != nil {
		panic(http.ErrAbortHandler) // the other side must not take it for whole
	}
}

// patient writes slices that a client must take within stallTime each, and holds to the limits.
type patient struct {
	http.ResponseWriter
	e *Edge
	r *http.Request
}

func (p *patient) Write(b []byte) (n int, err error) {
	limit := p.e.web.Limit(p.r)
	for len(b) > 0 {
		step := b[:min(len(b), 64<<10)]
		if limit.Rate() > 0 {
			if err := limit.WaitN(p.r.Context(), len(step)); err != nil {
				return n, err
			}
		}
		http.NewResponseController(p.ResponseWriter).SetWriteDeadline(time.Now().Add(takeTime))
		m, err := p.ResponseWriter.Write(step)
		n += m
		if err != nil {
			return n, err
		}
		b = b[m:]
	}
	return n, nil
}

// takeTime is how long a client may take nothing.
const takeTime = 30 * time.Second

// errNothingComes ends a request for what does not come any more.
var errNothingComes = errors.New("nothing of it comes any more: neither an origin nor another machine gives it")

// comeTime is how long a request waits for a content of which nothing comes.
const comeTime = 30 * time.Second

// comesNoMore returns true when somebody has waited for comeTime and nothing has come meanwhile; false when ctx is done.
func comesNoMore(ctx context.Context, waits func() bool, received func() int64) bool {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	moved, last := time.Now(), int64(-1)
	for {
		select {
		case <-ctx.Done():
			return false
		case now := <-tick.C:
			if n := received(); n != last || !waits() {
				moved, last = now, n
			}
			if now.Sub(moved) >= comeTime {
				return true
			}
		}
	}
}

// rangeStart is where the first range of a request begins; 0 if it asks for none that can be read: net/http decides what becomes of it.
func rangeStart(header string, length int64) int64 {
	spec, _, _ := strings.Cut(strings.TrimPrefix(header, "bytes="), ",")
	first, last, _ := strings.Cut(strings.TrimSpace(spec), "-")
	if first == "" { // the last so many bytes
		n, err := strconv.ParseInt(last, 10, 64)
		if err != nil || n < 0 {
			return 0
		}
		return max(0, length-n)
	}
	if at, err := strconv.ParseInt(first, 10, 64); err == nil && at >= 0 {
		return at
	}
	return 0
}

// partial reads a file of a content that is still coming; it is an io.ReadSeeker for http.ServeContent.
type partial struct {
	ctx   context.Context
	c     *content
	file  *piece.File
	at    int64
	waits atomic.Bool // for what comes
	err   error       // why it could not be read to its end
}

func (p *partial) Read(b []byte) (int, error) {
	if p.at >= p.file.Length {
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), p.file.Length-p.at)]
	p.waits.Store(true)
	p.err = p.c.ReadAt(p.ctx, b, p.file.Offset+p.at)
	p.waits.Store(false)
	if p.err != nil {
		p.err = cmp.Or(context.Cause(p.ctx), p.err)
		return 0, p.err
	}
	p.at += int64(len(b))
	return len(b), nil
}

func (p *partial) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		off += p.at
	case io.SeekEnd:
		off += p.file.Length
	}
	if off < 0 {
		return 0, errors.New("before the begin of the file")
	}
	p.at = off
	return off, nil
}
