package swarm

import (
	"context"
	"sync/atomic"
	"time"
)

// IdleCause says why a connection stood still. Time is counted by it, of all connections together: in
// steps of a tick where nothing is asked, to the instant where somebody waits.
type IdleCause uint8

// The causes. Of the first four holds the first that fits.
const (
	IdleNothingWanted IdleCause = iota // the peer has nothing that is missing here
	IdleChoked                         // it does not let us ask
	IdleRefused                        // it turned requests down, and is left alone for a moment
	IdleQueueEmpty                     // all that it could bring has been asked of others
	IdleUnasked                        // it wants what we have, may ask, and does not
	IdleLimit                          // a rate that the user set
	IdleGovernor                       // the queue in front of the uplink is to stay short
	IdleDisk                           // content is being read
	IdleCauses
)

var idleNames = [IdleCauses]string{"nothing_wanted", "choked", "refused", "queue_empty", "unasked", "limit", "governor", "disk"}

func (c IdleCause) String() string { return idleNames[c] }

// idleTimes counts nanoseconds. Any goroutine may add.
type idleTimes [IdleCauses]atomic.Int64

func (t *idleTimes) durations() (all [IdleCauses]time.Duration) {
	for i := range t {
		all[i] = time.Duration(t[i].Load())
	}
	return all
}

// stood counts d for the connection and for the transfer.
func (c *conn) stood(why IdleCause, d time.Duration) {
	c.idle[why].Add(int64(d))
	c.s.t.counts.idle[why].Add(int64(d))
}

// countIdle looks at each connection once a tick: why it stands still, or that it is asked for something.
func (s *session) countIdle(now time.Time) {
	complete := s.complete()
	for _, c := range s.conns {
		switch {
		case complete:
		case c.asked == 0:
			c.stood(c.whyNotAsked(now), tickTime)
		default:
			c.giving.ticks++
		}
		if c.wants && !c.choking && len(c.queue) == 0 && c.inflight == 0 {
			c.stood(IdleUnasked, tickTime)
		}
	}
}

// whyNotAsked says why nothing is asked of c.
func (c *conn) whyNotAsked(now time.Time) IdleCause {
	switch {
	case !c.introduced || c.useful == 0:
		return IdleNothingWanted
	case c.choked:
		return IdleChoked
	case c.rejects >= manyRejects && now.Before(c.restUntil):
		return IdleRefused
	case c.s.outstanding[c.laneOf()] >= c.s.mostAsked(c.laneOf()):
		return IdleLimit
	}
	return IdleQueueEmpty
}

// spend waits until a limit lets n bytes more through.
func (c *conn) spend(ctx context.Context, p *Pace, n int64) error {
	if p.Rate() == 0 {
		return nil
	}
	begin := time.Now()
	err := spend(ctx, p, n)
	c.stood(IdleLimit, time.Since(begin))
	return err
}

// waits waits until a pace lets n bytes through at once, and counts for how long and why.
func (c *conn) waits(ctx context.Context, p *Pace, n int64, why IdleCause) error {
	begin := time.Now()
	err := p.WaitN(ctx, int(n))
	c.stood(why, time.Since(begin))
	return err
}
