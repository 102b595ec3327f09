package edgecache

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"shoal/internal/deliver"
	"shoal/internal/disk"
	"shoal/piece"
	"shoal/swarm"
)

// keyOf is what a content is called in URLs and on the shelf: its v2 info hash in hex, or the v1 hash where there is no other.
func keyOf(info *piece.Info) string {
	if info.HasV2 {
		return hex.EncodeToString(info.V2[:])
	}
	return hex.EncodeToString(info.V1[:])
}

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
	return c.serving > 0 || c.err == nil && !c.whole || c.transfer != nil && c.transfer.Stats().Up > 0
}

// seedSpec is how a whole content is given to others: described when somebody asks.
func (e *Edge) seedSpec(k *known, trackers [][]string) (swarm.Spec, error) {
	t, err := piece.ReadFile(e.shelf.torrentPath(k.key))
	if err != nil {
		return swarm.Spec{}, err
	}
	spec := swarm.Spec{V1: t.V1, V2: t.V2, HasV1: t.HasV1, HasV2: t.HasV2, Private: t.Private, Content: filepath.Join(e.shelf.contentDir(k.key), t.Name), Trackers: trackers}
	spec.Alias, _ = t.AliasV1()
	k.gossip(&spec)
	var mu sync.Mutex
	var stamps []disk.Stamp
	spec.Load = func() (*piece.Torrent, error) {
		r, err := readRecord(e.shelf.recordPath(k.key))
		if err != nil {
			return nil, err
		}
		mu.Lock()
		defer mu.Unlock()
		stamps = r.Stamps
		return piece.ReadFile(e.shelf.torrentPath(k.key))
	}
	spec.Stamps = func(i int) (disk.Stamp, bool) {
		mu.Lock()
		defer mu.Unlock()
		if i < len(stamps) {
			return stamps[i], true
		}
		return disk.Stamp{}, true
	}
	return spec, nil
}

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

// clearChanged removes those files of a content that are not what was verified, as far as there is no room to mend them: mending takes a copy.
func (e *Edge) clearChanged(key string, room int64) error {
	r, err := readRecord(e.shelf.recordPath(key))
	if err != nil {
		return err
	}
	t, err := piece.ReadFile(e.shelf.torrentPath(key))
	if err != nil {
		return err
	}
	path := filepath.Join(e.shelf.contentDir(key), t.Name)
	for i := range t.Files {
		fi, err := os.Lstat(deliver.FileOf(t.Info, path, i))
		if err != nil || i < len(r.Stamps) && disk.StampOfInfo(fi).Equal(r.Stamps[i]) {
			continue
		}
		if fi.Mode().IsRegular() && fi.Size() <= room {
			continue
		}
		if err := os.RemoveAll(deliver.FileOf(t.Info, path, i)); err != nil {
			return fmt.Errorf("removing what has changed: %w", err)
		}
	}
	return nil
}
