package edgecache

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"shoal/piece"
)

const (
	// maxSmall is how large a file may be whose answers are kept in memory, and maxSmalls how much of that all of them take, in bytes.
	maxSmall  = 64 << 10
	maxSmalls = 8 << 20
)

// smalls are whole answers for small files, in memory, by what was asked for: to open a file, to look whether it is the one that was verified, and to
// close it takes longer than to send so little. What is asked for again stays longer (second chance: Corbató 1968). The zero value is empty.
type smalls struct {
	mu     sync.RWMutex
	byPath map[string]*small
	order  []*small // that came first, first
	bytes  int64
}

// small is an answer of which everything but its date is known. Its content was compared with its hash as it was taken in: it is right whatever a disk does.
type small struct {
	known *known
	path  string // the request's target
	bytes int64  // of content
	head  http.Header
	used  atomic.Bool
	last  atomic.Pointer[dated]
}

// dated is an answer, head and body, as it was in a second. It is never written to.
type dated struct {
	second int64
	answer []byte
	date   int // where in it the date stands
}

// newSmall makes the answer of a header and a body.
func newSmall(k *known, path string, h http.Header, body []byte) *small {
	h = h.Clone()
	h.Del("Date")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 200 OK\r\nDate: ")
	date := b.Len()
	b.WriteString(http.TimeFormat + "\r\n")
	h.Write(&b)
	b.WriteString("\r\n")
	b.Write(body)
	s := &small{known: k, path: path, bytes: int64(len(body)), head: h}
	s.last.Store(&dated{answer: b.Bytes(), date: date})
	return s
}

// at is the answer at a time.
func (s *small) at(now time.Time) []byte {
	d := s.last.Load()
	if second := now.Unix(); d.second != second {
		d = &dated{second: second, answer: slices.Clone(d.answer), date: d.date}
		now.UTC().AppendFormat(d.answer[:d.date], http.TimeFormat) // of the same length at all times
		s.last.Store(d)
	}
	return d.answer
}

// body is the content.
func (s *small) body() []byte {
	answer := s.last.Load().answer
	return answer[int64(len(answer))-s.bytes:]
}

// get takes what is asked for as it stands in the request.
func (s *smalls) get(path []byte) *small {
	s.mu.RLock()
	x := s.byPath[string(path)]
	s.mu.RUnlock()
	if x != nil && !x.used.Load() {
		x.used.Store(true)
	}
	return x
}

// put takes an answer in if it still holds, which is asked while no other can be taken out.
func (s *smalls) put(x *small, holds func() bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byPath[x.path] != nil || !holds() {
		return
	}
	if s.byPath == nil {
		s.byPath = map[string]*small{}
	}
	for s.bytes += x.cost(); s.bytes > maxSmalls && len(s.order) > 0; {
		old := s.order[0]
		s.order = s.order[1:]
		if old.used.Swap(false) {
			s.order = append(s.order, old)
			continue
		}
		s.bytes -= old.cost()
		delete(s.byPath, old.path)
	}
	s.byPath[x.path] = x
	s.order = append(s.order, x)
}

// cost is what it takes of memory, about.
func (s *small) cost() int64 { return int64(len(s.last.Load().answer)+len(s.path)) + 256 }

// forget takes out the answers of a content, or with "" all.
func (s *smalls) forget(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.order = slices.DeleteFunc(s.order, func(x *small) bool {
		gone := key == "" || x.known.key == key
		if gone {
			s.bytes -= x.cost()
			delete(s.byPath, x.path)
		}
		return gone
	})
}

// remember keeps the answer to a request that was just answered with a whole file, if that is small. withdrawn or replaced meanwhile, it is not kept.
func (e *Edge) remember(r *http.Request, c *content, file string, answered http.Header) {
	if e.smalls.get([]byte(r.RequestURI)) != nil {
		return
	}
	t, err := e.torrentOf(c)
	if err != nil {
		return
	}
	f := fileNamed(t, file)
	if f == nil || f.Length == 0 || f.Length > maxSmall || f.Root == [32]byte{} {
		return
	}
	in, err := os.OpenInRoot(e.shelf.contentDir(c.key), filepath.FromSlash(file))
	if err != nil {
		return
	}
	defer in.Close()
	body := make([]byte, f.Length)
	if _, err := io.ReadFull(in, body); err != nil || piece.FileRoot(body) != f.Root {
		return
	}
	e.smalls.put(newSmall(c.known, r.RequestURI, answered, body), func() bool {
		now, _, _ := e.find(c.key)
		e.mu.Lock()
		defer e.mu.Unlock()
		return now == c.known && e.contents[c.key] == c
	})
}
