package edgecache

import (
	"context"
	"sync"
	"time"

	"shoal/piece"
	"shoal/swarm"
)

// content is one that is here or on its way.
type content struct {
	*known
	pace  swarm.Pace    // bounds what is fetched ahead of demand
	ready chan struct{} // closed when it can be read from, or will not be
	gone  chan struct{} // closed when what fetches it has ended; nil: nothing does
	stop  context.CancelFunc

	mu       sync.Mutex
	torrent  *piece.Torrent // nil: it lies in the state directory
	transfer *swarm.Transfer
	whole    bool
	err      error // why it is not here
	demanded bool  // somebody waits for it: it is no prefill
	direct   bool  // its origin is asked itself
	serving  int   // responses under way
	since    time.Time
	idle     bool // nothing has come of it for comeTime
	swapped  bool // it is seeded from where it lies, and no fetch any more

	toUsers, toEdges int64 // bytes given to peers that were counted
}

func newContent(k *known) *content {
	return &content{known: k, ready: make(chan struct{}), since: time.Now()}
}

// state is how far it is.
func (c *content) state() (t *swarm.Transfer, whole bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.transfer, c.whole, c.err
}

// await waits until it can be read from.
func (c *content) await(ctx context.Context) (whole bool, err error) {
	select {
	case <-c.ready:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	_, whole, err = c.state()
	return whole, err
}

// ReadAt reads verified bytes at off of piece space, from whichever transfer there is.
func (c *content) ReadAt(ctx context.Context, b []byte, off int64) error {
	for {
		t, _, err := c.state()
		if err != nil {
			return err
		}
		if t != nil {
			err := t.ReadAt(ctx, b, off)
			if now, _, _ := c.state(); err == nil || ctx.Err() != nil || now == t {
				return err
			}
		}
		select { // the fetch goes on with other sources
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// received counts what has come of it, in bytes.
func (c *content) received() (n int64) {
	t, _, _ := c.state()
	if t == nil {
		return 0
	}
	s := t.Stats()
	for _, bytes := range s.From {
		n += bytes
	}
	return n + s.Wasted
}

// use counts a response that is under way.
func (c *content) use(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.serving += n
}

// busy says whether somebody would notice if it went.
func (c *content) busy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.serving > 0 || c.err == nil && !c.whole && !c.idle || c.transfer != nil && c.transfer.Stats().Giving
}
