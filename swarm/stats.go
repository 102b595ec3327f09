package swarm

import (
	"sync/atomic"
	"time"
)

// counts is written by many goroutines.
type counts struct {
	from, to         [Classes]atomic.Int64
	wasted, have     atomic.Int64
	wanted           atomic.Int64
	peers, seeds     atomic.Int64
	describers       atomic.Int64 // peers that have the torrent's description
	described        atomic.Int64 // bytes of it that have come from peers
	named            atomic.Bool  // and were right
	fromWeb          atomic.Int64
	everConnected    atomic.Int64
	badBlocks, bans  atomic.Int64
	peakDownPerSec   atomic.Int64
	downRate, upRate atomic.Int64
	peakUp           atomic.Int64
	line             atomic.Int64        // bytes per second that an origin's is seen to carry, or may
	asked            atomic.Int64        // Unix ns of the last request that was queued
	held             [Holds]atomic.Int64 // ns
	prepared         atomic.Bool         // what lies on disk is known
	checking         atomic.Int64        // bytes hashed while looking at what lies on disk
	proven           atomic.Int64        // bytes whose leaf vouched for them as they came
	idle             idleTimes
}

// Stats is a snapshot of a transfer. All sizes are bytes of content, rates are bytes per second.
type Stats struct {
	Wanted, Have int64 // what is wanted, and how much of it is verified and here
	Prepared     bool  // what is here already is known
	Checked      int64 // hashed while looking for content that is here already
	From, To     [Classes]int64
	Wasted       int64 // received twice or wrong
	FromWebSeeds int64 // part of From
	Peers, Seeds int   // connected now; how many of them have everything
	Connected    int64 // connections that got as far as a handshake, ever
	Bad, Bans    int64 // blocks or pieces that failed their hash, peers sent away for it
	Down, Up     int64 // rates
	Giving       bool  // somebody is being given something, or has just asked for it
	PeakDown     int64 // the best second
	Idle         [IdleCauses]time.Duration
	PeakUp       int64
	Held         [Holds]time.Duration // by what, while there was something to fetch, or for others to have
}

// Stats answers what has happened so far.
func (t *Transfer) Stats() Stats {
	c := &t.counts
	s := Stats{
		Wanted: c.wanted.Load(), Have: c.have.Load(), Prepared: c.prepared.Load(), Checked: c.checking.Load(), Wasted: c.wasted.Load(),
		FromWebSeeds: c.fromWeb.Load(), Peers: int(c.peers.Load()), Seeds: int(c.seeds.Load()),
		Connected: c.everConnected.Load(), Bad: c.badBlocks.Load(), Bans: c.bans.Load(),
		Down: c.downRate.Load(), Up: c.upRate.Load(), PeakDown: c.peakDownPerSec.Load(), PeakUp: c.peakUp.Load(), Idle: c.idle.durations(),
	}
	s.Giving = s.Up > 0 || t.node.world.now().Sub(time.Unix(0, c.asked.Load())) < askedTime
	for i := range s.Held {
		s.Held[i] = time.Duration(c.held[i].Load())
	}
	for i := range s.From {
		s.From[i], s.To[i] = c.from[i].Load(), c.to[i].Load()
	}
	return s
}

// askedTime is how long the rate may say nothing of what was asked.
const askedTime = 2 * time.Second
