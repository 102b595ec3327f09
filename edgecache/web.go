package edgecache

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"path/filepath"
	"slices"

	"shoal/internal/deliver"
	"shoal/internal/disk"
)

// maxOpened is how many contents HTTP has their lists of files in memory for.
const maxOpened = 256

// errReplaced says that another content has a content's place.
var errReplaced = errors.New("another one has its place")

// openWeb has a whole content served over HTTP.
func (e *Edge) openWeb(c *content) error {
	e.mu.Lock()
	at, there := slices.Index(e.opened, c.key), e.contents[c.key] == c
	if there && at >= 0 {
		e.opened = append(slices.Delete(e.opened, at, at+1), c.key)
	}
	e.mu.Unlock()
	if !there {
		return errReplaced
	}
	if at >= 0 {
		return nil
	}
	t, err := e.torrentOf(c)
	var rec *record
	if err == nil {
		rec, err = readRecord(e.shelf.recordPath(c.key))
	}
	if err != nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.contents[c.key] != c { // it was taken away meanwhile
			return errReplaced
		}
		return err
	}
	w, index := deliver.WebSeed(t.Info, c.key, filepath.Join(e.shelf.contentDir(c.key), t.Name))
	w.Unchanged = func(i int, fi fs.FileInfo) error {
		if index[i] >= len(rec.Stamps) || !disk.StampOfInfo(fi).Equal(rec.Stamps[index[i]]) {
			return errChanged
		}
		return nil
	}
	w.Gone = func(int, error) { e.spawn(func() { e.mend(c.key, c, false) }) }
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.contents[c.key] != c {
		return errReplaced
	}
	if slices.Contains(e.opened, c.key) {
		return nil
	}
	if err := e.web.Add(w); err != nil {
		return err
	}
	e.opened = append(e.opened, c.key)
	for i := 0; len(e.opened) > maxOpened && i < len(e.opened); {
		old := e.contents[e.opened[i]]
		if old != nil && old.inUse() {
			i++
			continue
		}
		e.web.Remove(e.opened[i])
		e.opened = slices.Delete(e.opened, i, i+1)
	}
	return nil
}

// inUse says whether responses of a content are under way.
func (c *content) inUse() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.serving > 0
}

// shut stops serving a content over HTTP.
func (e *Edge) shut(key string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.close(key)
}

// close is shut with e.mu held.
func (e *Edge) close(key string) {
	if at := slices.Index(e.opened, key); at >= 0 {
		e.opened = slices.Delete(e.opened, at, at+1)
		e.web.Remove(key)
	}
}

// counted counts the bytes of a response's body, and leaves the way to sendfile open.
type counted struct {
	http.ResponseWriter
	n    int64
	code int // 0: none was written yet
}

func (c *counted) WriteHeader(code int) {
	c.code = code
	c.ResponseWriter.WriteHeader(code)
}

// Unwrap is for http.ResponseController.
func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b)
	c.n += int64(n)
	return n, err
}

// ReadFrom implements io.ReaderFrom: sendfile, where the connection has it.
func (c *counted) ReadFrom(r io.Reader) (n int64, err error) {
	if rf, ok := c.ResponseWriter.(io.ReaderFrom); ok {
		n, err = rf.ReadFrom(r)
	} else {
		n, err = io.Copy(struct{ io.Writer }{c.ResponseWriter}, r)
	}
	c.n += n
	return n, err
}
