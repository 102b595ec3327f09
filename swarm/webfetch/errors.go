package webfetch

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrChanged is matched by *Changed.
	ErrChanged = errors.New("file has changed on the server")
	// ErrNoRange means that the server answers with whole files and the stretch lies too deep in one.
	ErrNoRange = errors.New("server ignores ranges")
	// ErrIdle means that the server has sent nothing for Config.Idle.
	ErrIdle = errors.New("server is silent")
)

// Gone is a file that the server does not have or does not give: 403, 404, 410 or 451.
type Gone struct {
	File   int // index into the torrent's files
	URL    string
	Status int
}

func (e *Gone) Error() string { return fmt.Sprintf("%s is not there: status %d", e.URL, e.Status) }

// Busy is a server that wants to be left alone: 429 or 503.
type Busy struct {
	URL        string
	Status     int
	RetryAfter time.Duration // 0: it did not say; at most an hour
}

func (e *Busy) Error() string {
	return fmt.Sprintf("%s: busy, status %d, retry after %v", e.URL, e.Status, e.RetryAfter)
}

// Changed is a file that is not, or no longer, the one that the torrent describes.
type Changed struct {
	File   int // index into the torrent's files
	URL    string
	Reason string
}

func (e *Changed) Error() string        { return fmt.Sprintf("%s: %v: %s", e.URL, ErrChanged, e.Reason) }
func (e *Changed) Is(target error) bool { return target == ErrChanged }
