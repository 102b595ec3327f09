package edgecache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"shoal/internal/webseed"
	"shoal/piece"
)

// servePartial serves a file that is still coming: the range that is asked for is fetched before the rest.
func (e *Edge) servePartial(w http.ResponseWriter, r *http.Request, c *content, name string) {
	t, err := e.torrentOf(c)
	if err != nil {
		busy(w, "cannot be read")
		return
	}
	f := fileNamed(t, name)
	if f == nil {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	if f.Root != [32]byte{} {
		h.Set("ETag", fmt.Sprintf(`"%x"`, f.Root))
	}
	h.Set("Content-Type", "application/octet-stream")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-cache")
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer webseed.BoundUnsent(r)()
	body := &partial{ctx: ctx, c: c, file: f}
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

// partial reads a file of a content that is still coming; it is an io.ReadSeeker for http.ServeContent.
type partial struct {
	ctx  context.Context
	c    *content
	file *piece.File
	at   int64
	err  error // why it could not be read to its end
}

func (p *partial) Read(b []byte) (int, error) {
	if p.at >= p.file.Length {
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), p.file.Length-p.at)]
	if p.err = p.c.ReadAt(p.ctx, b, p.file.Offset+p.at); p.err != nil {
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
