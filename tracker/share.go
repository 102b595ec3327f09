package tracker

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Trackers that share their peers write each announce to one log, in batches, and read what the others write. Each knows all peers and answers
// from its own memory: the log is behind the answer, not in its way. A tracker that starts reads back as far as a peer can live. When the log
// is lost, each serves what it knows and keeps what it has to tell; when it is back, that is told, and what was missed is read.
//
// A batch begins with eight bytes that say whose it is, then come records. Numbers are big-endian.
//
//	 1  4 or 6: the family
//	20  info hash
//	 4 or 16, 2  address and port
//	 1  kind and flags
//	 1  event
//	 4  for how many seconds the peer is to be kept, from the moment the batch was written
//	20  id
//	 4  site
const (
	recordLen = 1 + 20 + 2 + 1 + 1 + 4 + 20 + 4 // without the address

	flushEvery = 200 * time.Millisecond
	maxBatch   = 64 << 10 // bytes
	maxPending = 8 << 20  // bytes that are kept while the log is lost; the oldest go first
	retryAfter = time.Second
)

// announceLog is a log that several trackers write and read.
type announceLog interface {
	// Append adds a batch, and lets go of those that are older than keep.
	Append(ctx context.Context, batch []byte, keep time.Duration) error
	// Read returns batches that were added after a position, which "" puts to the beginning, and the position behind them. It waits for a
	// while for the first.
	Read(ctx context.Context, after string) (batches []batch, next string, err error)
	// Position returns the position of a moment that is so long ago.
	Position(ctx context.Context, ago time.Duration) (string, error)
	// Secret returns what all trackers of the log have in common: mine, if there is none yet.
	Secret(ctx context.Context, mine [32]byte) ([32]byte, error)
}

// batch is one of the log, and how long ago it was written.
type batch struct {
	data []byte
	age  time.Duration
}

// share is this tracker's part in a log.
type share struct {
	log  announceLog
	self [8]byte
	lost atomic.Bool

	sending []byte // the batch that is being written; only writeLog looks at it

	mu      sync.Mutex
	pending []byte // records that are still to be written
}

func newShare(l announceLog) *share {
	s := &share{log: l}
	crand.Read(s.self[:])
	return s
}

// add notes an announce. Peers at home are not for others: their address says "this machine".
func (sh *share) add(r *request, keep uint32) {
	if r.from.IsLoopback() || r.port == 0 {
		return
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if len(sh.pending) >= maxPending {
		sh.pending = sh.pending[:copy(sh.pending, sh.pending[cutAt(sh.pending, maxPending/8):])]
	}
	sh.pending = appendRecord(sh.pending, r, keep)
}

func appendRecord(b []byte, r *request, keep uint32) []byte {
	family := byte(6)
	if r.from.Is4() {
		family = 4
	}
	b = append(append(b, family), r.hash[:]...)
	b = append(b, r.from.AsSlice()...)
	b = binary.BigEndian.AppendUint16(b, r.port)
	b = append(b, byte(r.kind()), byte(r.event))
	b = binary.BigEndian.AppendUint32(b, keep)
	b = append(b, r.id[:]...)
	return binary.BigEndian.AppendUint32(b, r.site)
}

// recordSize is the size of the record that b begins with; 0 if it is none.
func recordSize(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	n := recordLen + 4
	if b[0] == 6 {
		n = recordLen + 16
	}
	if b[0] != 4 && b[0] != 6 || len(b) < n {
		return 0
	}
	return n
}

// cutAt is the end of the record that holds the n-th byte, or of the last.
func cutAt(b []byte, n int) int {
	at := 0
	for at < n && at < len(b) {
		at += recordSize(b[at:]) // our own records: never 0
	}
	return at
}

// applyBatch does what the records of another tracker say, and returns how many there were.
func (s *Server) applyBatch(b batch) (n int) {
	age := uint32(min(max(b.age, 0)/time.Second, 1<<30))
	for data := b.data; ; n++ {
		size := recordSize(data)
		if size == 0 {
			return n
		}
		s.applyRecord(data[:size], age)
		data = data[size:]
	}
}

func (s *Server) applyRecord(b []byte, age uint32) {
	from, _ := netip.AddrFromSlice(b[21 : len(b)-recordLen+21])
	rest := b[len(b)-recordLen+21:]
	r := request{hash: [20]byte(b[1:]), from: source(from), port: binary.BigEndian.Uint16(rest), event: event(rest[3]),
		id: [20]byte(rest[8:]), site: binary.BigEndian.Uint32(rest[28:])}
	k, keep := kind(rest[2]), binary.BigEndian.Uint32(rest[4:])
	if r.port == 0 || k > seed || keep > 1<<20 || r.from.IsLoopback() {
		return
	}
	s.store.apply(s.now(), &r, k, int64(keep)-int64(age))
}

// apply lists or forgets a peer that announced itself to another tracker.
func (st *store) apply(now uint32, r *request, k kind, left int64) {
	sh := st.shard(&r.hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sw := sh.swarms.get(&r.hash)
	if r.event == eventStopped {
		if sw != nil {
			st.leave(sw, r)
		}
		return
	}
	if left <= 0 {
		return
	}
	if sw == nil {
		if st.swarms.Load() >= st.maxSwarms {
			return
		}
		sw = &swarm{hash: r.hash, born: now}
		sh.swarms.add(sw)
		st.swarms.Add(1)
	}
	st.join(sw, r, k, now+uint32(left), rand.Uint32())
}

// keep is how long the log is kept: as long as a peer.
func (s *Server) keep() time.Duration {
	return time.Duration(lifetime(uint32(s.config.Interval/time.Second))) * time.Second
}

// writeLog appends what is pending. What could not be written is tried again, also once more at the end.
func (s *Server) writeLog(ctx context.Context) {
	for wait := flushEvery; ; {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), retryAfter)
			defer cancel()
			if err := s.flush(last); err != nil {
				s.config.Log.Warn("the last announces were not shared", "err", err)
			}
			return
		case <-time.After(wait):
		}
		wait = flushEvery
		if err := s.flush(ctx); err != nil && ctx.Err() == nil {
			s.loseLog(err)
			wait = retryAfter
		}
	}
}

func (s *Server) flush(ctx context.Context) error {
	sh := s.share
	for {
		if len(sh.sending) == 0 {
			sh.mu.Lock()
			n := cutAt(sh.pending, min(len(sh.pending), maxBatch))
			if n > 0 {
				sh.sending = append(append(sh.sending, sh.self[:]...), sh.pending[:n]...)
				sh.pending = sh.pending[:copy(sh.pending, sh.pending[n:])]
			}
			sh.mu.Unlock()
			if n == 0 {
				return nil
			}
		}
		if err := sh.log.Append(ctx, sh.sending, s.keep()); err != nil {
			return err
		}
		sh.sending = sh.sending[:0]
	}
}

// readLog applies what others append.
func (s *Server) readLog(ctx context.Context) {
	sh := s.share
	position, secret := "", false
	var last time.Time // of the last success; zero: none yet
	for ctx.Err() == nil {
		err := func() error {
			if !secret {
				shared, err := sh.log.Secret(ctx, s.keys.Load().secret)
				if err != nil {
					return err
				}
				s.keys.Store(newKeys(shared))
				// A log that was lost may have been emptied or moved: go by time, and rather read something twice.
				ago := s.keep()
				if !last.IsZero() {
					ago = min(ago, time.Since(last)+time.Minute)
				}
				if position, err = sh.log.Position(ctx, ago); err != nil {
					return err
				}
				secret = true
			}
			batches, next, err := sh.log.Read(ctx, position)
			if err != nil {
				return err
			}
			for _, b := range batches {
				if len(b.data) >= 8 && [8]byte(b.data) != sh.self {
					b.data = b.data[8:]
					s.applyBatch(b)
				}
			}
			position, last = next, time.Now()
			if sh.lost.CompareAndSwap(true, false) {
				s.config.Log.Info("peers are shared again")
			}
			return nil
		}()
		if err == nil || ctx.Err() != nil {
			continue
		}
		s.loseLog(err)
		secret = false
		select {
		case <-ctx.Done():
		case <-time.After(retryAfter):
		}
	}
}

// loseLog says so once.
func (s *Server) loseLog(err error) {
	if s.share.lost.CompareAndSwap(false, true) {
		s.config.Log.Warn("peers are not shared at the moment: this tracker tells of those it knows", "err", err)
	}
}
