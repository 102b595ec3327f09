package webseed

import (
	"cmp"
	"errors"
	"io"
	"net/http"
	"os"
	"time"
)

const (
	// slice is how much is sent between two looks at the file: large enough for sendfile to be cheap, small enough for a change to be seen in time.
	slice = 1 << 20
	// limitedSlice is how much is sent at once under a limit, so that a slow limit is smooth.
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

	sent int64
	err  error // why the response is not whole
}

// Unwrap is for http.ResponseController.
func (s *sender) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// ReadFrom gets the file itself, limited to a range, or for several ranges a pipe that carries them.
func (s *sender) ReadFrom(r io.Reader) (n int64, err error) {
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
	if s.h.Limit != nil {
		step = min(left, limitedSlice)
		if err := s.h.Limit.WaitN(s.r.Context(), int(step)); err != nil {
			return 0, err
		}
	}
	// A reader that takes nothing would keep the file and the goroutine. Not every ResponseWriter has deadlines.
	http.NewResponseController(s.ResponseWriter).SetWriteDeadline(time.Now().Add(cmp.Or(s.h.sendTime, 2*time.Minute)))
	return step, s.e.check(s.i, s.f)
}

func (s *sender) send(part *io.LimitedReader) (int64, error) {
	if rf, ok := s.ResponseWriter.(io.ReaderFrom); ok {
		return rf.ReadFrom(part) // sendfile, if part.R is the *os.File and the connection a *net.TCPConn
	}
	return io.Copy(struct{ io.Writer }{s.ResponseWriter}, part)
}

func (s *sender) count(n int64) {
	s.sent += n
	s.e.sent.Add(n)
	s.h.total.Add(n)
}

// end looks a last time whether what was sent still was what was verified.
func (s *sender) end() {
	if s.sent == 0 {
		return
	}
	http.NewResponseController(s.ResponseWriter).SetWriteDeadline(time.Time{}) // the connection may live on with another handler
	if s.err == nil {
		s.err = s.e.check(s.i, s.f)
	}
}
