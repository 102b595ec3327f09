package swarm

import (
	"time"
)

// arrived takes note of a block that a peer sent.
func (s *session) arrived(c *conn, q *request, r outcome) {
	now := s.now()
	c.lastIn, c.lastBlock = now, now
	c.received += q.length
	s.delivery.brought(now, q.length)
	c.snubbed, c.rejects = false, 0
	if r.fresh > 0 {
		s.lastPeer = now
	}
	// The window follows rate × delay by itself: it grows while blocks wait little in the other
	// side's queue although it is used, and shrinks when they wait long. What the way there and back takes is no queue.
	if q.done { // cancelled too late: it is as good as any
		c.cancelled(false)
		s.took(c, c.class, q.op, q.begin, q.length, r)
		s.giveBack(q.op)
		s.fill(c)
		return
	}
	delay := now.Sub(q.at)
	c.lag, c.lagAt = delay, now
	if c.way == 0 || delay < c.way {
		c.way = min(delay, maxWay)
	}
	switch queue := delay - c.way; {
	case queue < queueDelay*3/4 && c.outstanding > c.window*3/4: // else it proves nothing (RFC 7661)
		c.window = min(c.window+q.length, maxWindow)
	case queue > queueDelay*3/2:
		// At once: block by block it took a slow line half of a small content to come down from startWindow.
		fits := int64(float64(c.window) * float64(queueDelay*3/2) / float64(queue))
		c.window = max(min(c.window-q.length, fits), minWindow)
	}
	s.answered(q)
	s.took(c, c.class, q.op, q.begin, q.length, r)
	s.giveBack(q.op) // if it was wrong, and all there was
	s.fill(c)
}

// unasked counts content that nobody waits for: cancelled too late, or never asked for. An honest
// peer answers each request once at most, so what it sends stays below what it was ever asked.
func (s *session) unasked(c *conn, n int64) {
	c.lastIn = s.now()
	s.t.counts.wasted.Add(n)
	if c.uninvited += n; c.received+c.uninvited > c.askedEver+maxUninvited {
		s.banish(c, "sends content that was not asked for")
	}
}

// maxUninvited forgives a client that counts differently.
const maxUninvited = 1 << 20

// recordPiece writes the journal, and has the disk synced when much has come since the last time.
func (s *session) recordPiece(p int, kind byte) bool {
	if s.fetch == nil {
		return true
	}
	due, err := s.fetch.record(p, kind)
	if err != nil {
		s.fail(err)
		return false
	}
	if due {
		s.syncNow(s.now())
	}
	return true
}

// checkDone ends the fetch when everything that is wanted is verified.
func (s *session) checkDone() {
	if s.fetch == nil || s.placing || s.failed != nil || !s.complete() || s.checksV1 > 0 || len(s.owed) > 0 {
		return
	}
	s.placing = true
	s.measureDown(s.now())
	leaves := s.leafReader()
	s.beside(func() func() {
		err := checkRoots(s.torrent.Info, s.wantsFile, leaves)
		if err == nil && !s.t.spec.Keep {
			if err = s.fetch.place(s.wantsFile); err == nil {
				err = s.fetch.clean()
			}
		}
		return func() {
			if err != nil {
				s.fail(err)
				return
			}
			s.placed = true
			s.forgetUnplaced()
			s.log.Debug("all is verified and in place")
			s.t.finish(nil)
		}
	})
}

func (s *session) wantsFile(i int) bool {
	if s.t.spec.SelectIndex != nil && !s.t.spec.SelectIndex(i) {
		return false
	}
	f := &s.torrent.Files[i]
	return s.t.spec.Select == nil || s.t.spec.Select(f.Name(s.torrent.Info))
}

// syncTime is how long verified content may be unsynced.
const syncTime = 5 * time.Second

func (s *session) syncSometimes(now time.Time) {
	if now.Sub(s.lastSync) >= syncTime {
		s.syncNow(now)
	}
}

// syncNow has the disk synced beside the loop, one sync at a time.
func (s *session) syncNow(now time.Time) {
	if s.fetch == nil || s.placing || s.syncing {
		return
	}
	s.lastSync, s.syncing = now, true
	s.beside(func() func() {
		err := s.fetch.sync()
		return func() {
			s.syncing = false
			if err != nil {
				s.fail(err)
			}
		}
	})
}
