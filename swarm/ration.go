package swarm

import (
	"net/netip"
	"sync"
	"time"
)

// Ration is how much of one content is given away in a day: so many copies, whoever asks, and no
// more while those who ask get on without it. A day begins at midnight, local time. What is given
// is counted before it goes out. It is safe for concurrent use.
//
// When the ration is spent, peers are choked, and requests over HTTP are asked to come again. That
// is taken back for a machine that starves: one that has had nothing new from anybody for a while.
// So the ration never stops a swarm, whatever has become of those who held its pieces. (An
// exemption for pieces that few hold would be simpler, and let 1.6 to 1.9 copies out where 1.1 were
// allowed.)
type Ration struct {
	length int64

	mu      sync.Mutex
	copies  float64 // a day; 0: any number
	day     int64   // that given belongs to
	given   int64
	kept    int64               // of what may be given: for pieces that have not left at all, see revealer.kept
	peers   map[netip.Addr]bool // connected machines, by address: whether one of them starves
	forgot  time.Time
	waiting map[netip.Addr]waiting // those who asked over HTTP and were told to come again
}

// waiting is an address that is to come again.
type waiting struct {
	since time.Time // of its first request that was turned down
	last  time.Time // of its last request
	fed   bool      // it came again, and is served from then on
}

const (
	// retryTime is how long who asks over HTTP is to wait, so that peers may bring it meanwhile.
	retryTime = 3 * time.Second
	// fedTime is the same for a machine that is seen to get on with its peers.
	fedTime = 10 * time.Second
	// forgetTime is how long an address is remembered.
	forgetTime = time.Minute
	maxWaiting = 4096
)

// NewRation allows so many copies of a content of length bytes a day; 0 is any number.
func NewRation(length int64, copies float64) *Ration {
	return &Ration{length: length, copies: copies, kept: length, waiting: make(map[netip.Addr]waiting)}
}

// SetCopies changes how many copies a day are allowed. What was given today counts.
func (r *Ration) SetCopies(n float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.copies = n
}

// Today is how many bytes were given, and how many may be; 0: any number.
func (r *Ration) Today(now time.Time) (given, allowed int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(now)
	return r.given, r.allowed()
}

// Ask asks to give n bytes over HTTP to a machine, and counts them. If it answers a time, they are
// not to be given: the machine may come again after that. Nobody is sent away for long: who comes
// again has nobody else, and who could have no peers, because there are none, need not wait. What is
// kept for the swarm's first copy is not given: without some piece all its machines would wait at the end.
func (r *Ration) Ask(from netip.Addr, n int64, now time.Time) (wait time.Duration) {
	from = from.Unmap()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(now)
	if r.has(n+r.kept) || len(r.peers) == 0 || r.comesAgain(from, now) {
		r.given += n
		return 0
	}
	return retryTime
}

// comesAgain says whether an address has waited for its time.
func (r *Ration) comesAgain(from netip.Addr, now time.Time) bool {
	w, known := r.waiting[from]
	if !known || now.Sub(w.last) > forgetTime {
		r.forget(now)
		if len(r.waiting) >= maxWaiting {
			return true // who can tell
		}
		w = waiting{since: now}
	}
	w.last = now
	least := retryTime
	if starves, peer := r.peers[from]; peer && !starves {
		least = fedTime
		w.fed = false
	}
	served := w.fed || now.Sub(w.since) >= least
	if served {
		w.fed, w.since = true, now
	}
	r.waiting[from] = w
	return served
}

// forget drops addresses that have not asked for long, if there are many.
func (r *Ration) forget(now time.Time) {
	if len(r.waiting) < maxWaiting/2 || now.Sub(r.forgot) < time.Second {
		return
	}
	r.forgot = now
	for a, w := range r.waiting {
		if now.Sub(w.last) > forgetTime {
			delete(r.waiting, a)
		}
	}
}

// Return takes back what was counted and did not go out after all.
func (r *Ration) Return(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.given = max(r.given-n, 0)
}

// take counts n bytes, if they are within the ration and leave reserve bytes of it.
func (r *Ration) take(n, reserve int64, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(now)
	if !r.has(n + reserve) {
		return false
	}
	r.given += n
	return true
}

// exceed counts n bytes that are given beyond the ration.
func (r *Ration) exceed(n int64, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(now)
	r.given += n
}

// bounded says whether there is a bound at all.
func (r *Ration) bounded() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.copies > 0
}

// spent says whether not even one more block is within the ration.
func (r *Ration) spent(block int64, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(now)
	return !r.has(block)
}

// met tells who is connected, and how many bytes are kept for them.
func (r *Ration) met(peers map[netip.Addr]bool, kept int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.peers, r.kept = peers, kept
}

func (r *Ration) has(n int64) bool { return r.copies <= 0 || r.given+n <= r.allowed() }

func (r *Ration) allowed() int64 { return int64(r.copies * float64(r.length)) }

// turn begins a new day. A clock that is set back does not.
func (r *Ration) turn(now time.Time) {
	y, m, d := now.Local().Date()
	if day := int64(y)*10000 + int64(m)*100 + int64(d); day > r.day {
		r.day, r.given = day, 0
	}
}
