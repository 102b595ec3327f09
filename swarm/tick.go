package swarm

import "time"

// tickTime is how often a session looks at the clock, quietTime how often when it has nothing to do.
const (
	tickTime  = 100 * time.Millisecond
	quietTime = time.Second
)

// tick is what happens by the clock.
func (s *session) tick(now time.Time) {
	s.meterTick(now)
	s.meterLines(now)
	s.shed()
	// A seed gives to many at once, and the machines of a site share the queue before its border. Who fetches without
	// neighbours has the acknowledgements of what it gets in the queue before its own uplink.
	s.steady.Store(s.complete() || len(s.lan) > 0)
	if s.torrent == nil {
		s.tickMetadata(now)
		s.dialSome()
		return
	}
	if len(s.fresh) == 0 && len(s.inside) > 0 {
		s.flushHaves()
	}
	s.expel()
	s.dropSilent(now)
	if !s.complete() {
		s.tickLayers(now)
		s.snub(now)
		s.loosen(now)
		for c := range s.around() {
			c.dry = false
			s.fill(c)
		}
		s.steal(now)
		s.retellFetching(now)
	}
	s.tellDescribed()
	s.payOwed(now)
	s.countIdle(now)
	s.tickRation(now)
	s.exchange(now)
	s.account(now)
	for _, c := range s.conns {
		s.tellLoad(c, now, false)
		if !c.boredAt.IsZero() {
			s.interest(c)
		}
	}
	s.choke(now)
	if s.reveal != nil {
		s.t.counts.line.Store(int64(s.lineRate()))
		s.lease(now)
	}
	s.serve(now)
	s.offer(now)
	if s.farWanted() > 0 || now.Sub(s.book.looked) >= dialPause {
		s.dialSome()
	}
	s.syncSometimes(now)
}
