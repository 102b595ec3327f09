package edgecache

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// What is followed and does not fit is told once, and stands in the status as long as it is so.
func TestWhatDoesNotFitIsTold(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, 100_000, 2*MinQuota, 3*MinQuota)
	var out logged
	e, _ := runEdge(t, o, Config{Quota: MinQuota, Log: slog.New(slog.NewTextHandler(&out, nil))})
	until(t, "what fits is here, and the rest is missed", func() bool {
		st := e.Status()
		return st.Kept == 1 && st.NoRoom != nil && st.NoRoom.Contents == 2
	})
	if got, want := *e.Status().NoRoom, []string{"content-2", "content-1"}; got.Bytes != 5*MinQuota || !slices.Equal(got.Names, want) {
		t.Errorf("without room: %+v, want %d bytes of %q", got, 5*MinQuota, want)
	}
	e.mu.Lock()
	clear(e.later) // it is tried again
	e.mu.Unlock()
	failed := e.count.failed.Load()
	until(t, "it is tried again", func() bool { e.nudge(); return e.count.failed.Load() >= failed+2 })
	if n := strings.Count(out.String(), "does not fit"); n != 1 {
		t.Errorf("told %d times, want once:\n%s", n, out.String())
	}
	e.place(nil, time.Now()) // nothing is followed any more
	if l := e.Status().NoRoom; l != nil {
		t.Errorf("what nobody follows has no room: %+v", l)
	}
}

// logged keeps what is written to it. It is safe for concurrent use.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
