package webseed

import (
	"cmp"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

const (
	// slice is how much is sent between two looks at the file: large enough for sendfile to be cheap, small enough for a change to be seen in time.
	slice = 1 << 20
	// pacedSlice is how much is sent in one system call where the kernel paces what is sent (BBR): a reader beside us then takes it while it is in the caches, and
	// is not kept from the connection meanwhile, which halves the processor time. Elsewhere each call costs a wake-up, which doubles it.
	pacedSlice = 32 << 10
	// leastSlice and limitedSlice are how much is sent at once under a limit: what takes 20 ms, so that the limit is smooth.
	leastSlice = 1400
	// tlsSlice is how much a reader over TLS has to take within stallTime, or be let go.
	tlsSlice = 128 << 10
	// stallTime is how long a response may make no progress.
	stallTime    = 30 * time.Second
	limitedSlice = 64 << 10
)

var errRemoved = errors.New("content is not served any more")

// sender is the ResponseWriter that http.ServeContent copies into. It keeps ReadFrom, without which net/http would read the file itself, and sends
// slice by slice.
type sender struct {
	http.ResponseWriter
	r *http.Request
	h *Handler
	e *entry
	i int
	f *os.File

	limit    Limiter // nil: none
	checked  bool    // the file was looked at a moment ago, and nothing sent since
	taken    int64   // of what was sent, as far as was seen when it went on slowly
	sent     int64
	counted  int64 // of sent: what has left this machine for all that is known
	admitted int64 // bytes that Content.Admit was asked for
	turned   bool  // away: the response is another
	err      error // why the response is not whole
}

// Unwrap is for http.ResponseController.
func (s *sender) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// WriteHeader is called once it is known what is to be sent: the last moment to turn the request down.
func (s *sender) WriteHeader(code int) {
	body := code == http.StatusOK || code == http.StatusPartialContent
	if n, err := strconv.ParseInt(s.Header().Get("Content-Length"), 10, 64); err == nil && body && n > 0 && s.r.Method == http.MethodGet && s.e.Admit != nil && byKey(s.r) {
		if wait := s.e.Admit(s.r, n); wait > 0 {
			s.turned = true
			turnDown(s.ResponseWriter, wait)
			return
		}
		s.admitted = n
	}
	s.ResponseWriter.WriteHeader(code)
}

// turnDown answers that the client is to come again.
func turnDown(w http.ResponseWriter, wait time.Duration) {
	for _, name := range []string{"Content-Length", "Content-Range", "Content-Type", "Accept-Ranges", "Cache-Control", "ETag", "Last-Modified"} {
		w.Header().Del(name)
	}
	w.Header().Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
	http.Error(w, "this origin has given what it may for now: ask the others who have it, or come again", http.StatusServiceUnavailable)
}

var errTurnedDown = errors.New("turned down")

// ReadFrom gets the file itself, limited to a range, or for several ranges a pipe that carries them.
func (s *sender) ReadFrom(r io.Reader) (n int64, err error) {
	if s.turned {
		return 0, errTurnedDown
	}
	left, ok := r.(*io.LimitedReader)
	if !ok {
		left = &io.LimitedReader{R: r, N: 1<<63 - 1}
	}
	for left.N > 0 {
		step, err := s.step(left.N)
		if err != nil {
			s.err = err
			return n, err
		}
		m, err := s.send(&io.LimitedReader{R: left.R, N: step})
		n, left.N = n+m, left.N-m
		s.count(m)
		if errors.Is(err, os.ErrDeadlineExceeded) && s.goesOn(m) {
			continue
		}
		if err == nil && m < step {
			if !ok {
				return n, nil // the reader's end is all there is
			}
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			s.err = err
			return n, err
		}
	}
	return n, nil
}

// step says how much may be sent next, once it may.
func (s *sender) step(left int64) (int64, error) {
	if s.e.removed.Load() {
		return 0, errRemoved
	}
	step := min(left, slice)
	if s.r.TLS != nil {
		step = min(left, tlsSlice)
	}
	if s.limit != nil && s.limit.Rate() > 0 {
		step = min(step, limitedSlice, max(s.limit.Rate()/50, leastSlice))
		if err := s.limit.WaitN(s.r.Context(), int(step)); err != nil {
			return 0, err
		}
		s.checked = false
	}
	// A reader that takes nothing would keep the file and the goroutine. Not every ResponseWriter has deadlines.
	http.NewResponseController(s.ResponseWriter).SetWriteDeadline(time.Now().Add(cmp.Or(s.h.sendTime, stallTime)))
	if s.checked {
		s.checked = false
		return step, nil
	}
	_, err := s.e.check(s.i, s.f)
	return step, err
}

// goesOn says whether a client that did not take a slice in time, but m bytes of it, has taken anything since this was asked last. What counts is what has
// arrived there: megabytes that it takes slowly may lie in the kernel.
func (s *sender) goesOn(m int64) bool {
	if s.r.TLS != nil {
		return false // TLS cannot go on after a write that ran out of time
	}
	waiting, ok := unsent(s.r)
	if !ok {
		return m > 0
	}
	before := s.taken
	s.taken = s.sent - waiting
	return s.taken > before
}

// send hands a slice over, of which the reader may have less.
func (s *sender) send(part *io.LimitedReader) (int64, error) {
	rf, ok := s.ResponseWriter.(io.ReaderFrom)
	if !ok {
		return io.Copy(struct{ io.Writer }{s.ResponseWriter}, part)
	}
	atOnce := part.N
	if atOnce > pacedSlice && paced(s.r) {
		atOnce = pacedSlice
	}
	n := int64(0)
	for n < part.N {
		step := min(part.N-n, atOnce)
		m, err := rf.ReadFrom(&io.LimitedReader{R: part.R, N: step}) // sendfile, if part.R is the *os.File and the connection a *net.TCPConn
		if n += m; err != nil || m < step {
			return n, err
		}
	}
	return n, nil
}

func (s *sender) count(n int64) {
	if s.sent += n; s.sent-s.counted >= slice {
		s.countTo(s.sent - s.waiting())
	}
}

// countTo counts what has been sent up to n bytes.
func (s *sender) countTo(n int64) {
	if n -= s.counted; n > 0 {
		s.counted += n
		s.e.sent.Add(n)
		s.h.total.Add(n)
	}
}

// waiting is how much of what was sent still lies in the kernel, as far as that is known.
func (s *sender) waiting() int64 {
	n, _ := unsent(s.r)
	return n
}

// end looks a last time whether what was sent still was what was verified.
func (s *sender) end() {
	if s.err == nil {
		s.countTo(s.sent)
	} else { // megabytes may have lain in the kernel, and go nowhere now
		s.countTo(s.sent - s.waiting())
	}
	if n := s.admitted - s.counted; n > 0 && s.e.Unsent != nil {
		s.e.Unsent(n)
	}
	if s.sent == 0 {
		return
	}
	c := http.NewResponseController(s.ResponseWriter)
	if s.err == nil {
		s.err = c.Flush() // within the deadline
	}
	c.SetWriteDeadline(time.Time{}) // the connection may live on with another handler
	if s.err == nil {
		_, s.err = s.e.check(s.i, s.f)
	}
}
