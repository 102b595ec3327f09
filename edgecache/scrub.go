package edgecache

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"golang.org/x/time/rate"

	"shoal/internal/disk"
	"shoal/piece"
)

// A disk may give other bytes than were written to it, and no stamp tells: look does not see that, and a plain HTTP client has no hashes to see it with. So
// everything that is kept is read and compared now and then.

const (
	defaultScrub = 30 * 24 * time.Hour
	// scrubBytesPerSec is how fast that goes at least: next to nothing for a disk, and a large file is done before the edge is restarted the next time.
	scrubBytesPerSec = 4 << 20
	// scrubTime is how long nothing is due at most before it is looked again.
	scrubTime = time.Minute
)

// scrub reads each content once in each Config.Scrub, until ctx is done: those first that were not read for longest. In the first half of that time a content
// is left alone; what is due then, all of the shelf if it must be, takes the other half at most.
func (e *Edge) scrub(ctx context.Context) {
	limit := rate.NewLimiter(scrubBytesPerSec, scrubBytesPerSec)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		half := e.cfg.Scrub / 2
		key, read := e.longestUnread()
		if age := e.cfg.Now().Sub(read); key == "" || age >= 0 && age < half { // a time to come was written by a clock that was wrong
			timer.Reset(min(scrubTime, half))
			continue
		}
		used, _, _ := e.shelf.usage()
		limit.SetLimit(rate.Limit(max(scrubBytesPerSec, float64(used)/half.Seconds())))
		err := e.compare(ctx, key, limit)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			e.cfg.Log.Warn("a content cannot be read and compared", "infohash", key, "err", err)
			timer.Reset(scrubTime)
			continue
		}
		timer.Reset(0)
	}
}

// longestUnread is the whole content that was not read for longest, and when it was; "": there is none.
func (e *Edge) longestUnread() (key string, read time.Time) {
	for _, k := range e.shelf.keys() {
		if h, ok := e.shelf.get(k); ok && h.whole && !h.dropped && !h.file && (key == "" || h.read.Before(read)) {
			key, read = k, h.read
		}
	}
	return key, read
}

// compare reads a content, and has it mended where it is not what it was.
func (e *Edge) compare(ctx context.Context, key string, limit *rate.Limiter) error {
	t, err := piece.ReadFile(e.shelf.torrentPath(key))
	if err != nil {
		return err
	}
	had := int64(0) // Verify has one worker, which alone asks
	report, err := piece.Verify(ctx, t.Info, filepath.Join(e.shelf.contentDir(key), t.Name), piece.VerifyConfig{Workers: 1, Progress: func(done, _ int64) {
		for ; had < done && ctx.Err() == nil; had += min(done-had, scrubBytesPerSec) {
			limit.WaitN(ctx, int(min(done-had, scrubBytesPerSec)))
		}
	}})
	if h, ok := e.shelf.get(key); !ok || !h.whole || h.dropped {
		return nil // it has gone meanwhile
	}
	if err != nil {
		return err
	}
	if !report.OK() {
		e.cfg.Log.Warn("the disk gives other bytes than were verified; they are fetched again", "name", t.Name, "infohash", key, "pieces", len(report.BadPieces), "files", len(report.Files))
		e.count.rotten.Add(1)
		e.mend(key, nil, true)
		return nil
	}
	e.count.scrubbed.Add(report.Total)
	return e.shelf.haveRead(key, e.cfg.Now())
}

// haveRead notes that a content was read and is what it was.
func (s *shelf) haveRead(key string, now time.Time) error {
	now = now.UTC().Truncate(time.Second)
	s.mu.Lock()
	h := s.held[key]
	s.mu.Unlock()
	if h == nil {
		return nil
	}
	r, err := readRecord(s.recordPath(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it is being removed
	}
	if err != nil {
		return err
	}
	r.Read = now
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !h.whole || h.dropped { // or its record would come back
		return nil
	}
	h.read = now
	return disk.ReplaceFile(s.recordPath(key), b, 0o644)
}
