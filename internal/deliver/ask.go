package deliver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

// Asking says how servers are asked for metainfo.
type Asking struct {
	UserAgent string
	Patience  time.Duration // how long to ask a server again that says it will have it (503 with Retry-After); 0: until ctx ends
	Notice    func(string)  // told once what is waited for; may be nil
	Peers     bool          // peers may be asked: a server that many ask for a .torrent may answer who it is about, and leave the rest to them
}

// A server that says when to come again is believed within these bounds.
const (
	leastRetry = 200 * time.Millisecond
	mostRetry  = 10 * time.Second
)

// metainfo asks a URL for a .torrent, as often as the server wants to be asked.
func (a Asking) metainfo(ctx context.Context, url string) (*fetched, error) {
	begin := time.Now()
	for told := false; ; told = true {
		x, err := a.once(ctx, url)
		var later *laterError
		if !errors.As(err, &later) {
			return x, err
		}
		wait := min(max(later.after, leastRetry), mostRetry)
		if a.Patience > 0 {
			left := a.Patience - time.Since(begin)
			if left <= 0 {
				return nil, &Error{ErrStalled, fmt.Sprintf("%s: after %s the server still answers %s", url, a.Patience, later.status),
					"if it is a shoal serve, it is still hashing: wait longer with --stall-timeout, or come again"}
			}
			wait = min(wait, left)
		}
		if !told && a.Notice != nil {
			a.Notice(fmt.Sprintf("%s: the server has it soon (%s): waiting for it", url, later.status))
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// laterError is that a server says to come again.
type laterError struct {
	status string
	after  time.Duration
}

func (e *laterError) Error() string { return e.status }

// later is the error for a response that says to come again, or nil.
func later(r *http.Response) error {
	seconds, err := strconv.ParseUint(r.Header.Get("Retry-After"), 10, 16)
	if r.StatusCode != http.StatusServiceUnavailable || err != nil {
		return nil
	}
	return &laterError{r.Status, time.Duration(seconds) * time.Second}
}

// windowsReset is what Windows calls ECONNRESET; package syscall's is invented there.
const windowsReset = syscall.Errno(10054)

// isReset says whether the other side ended a connection without an answer.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, windowsReset) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
