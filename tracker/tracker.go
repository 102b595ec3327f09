package tracker

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Config configures a Server. The zero value is usable.
type Config struct {
	// Interval is how long a peer of a settled swarm waits between announces (BEP 3). Zero means 30 minutes. Young and active swarms are
	// told less, see cadence.
	Interval time.Duration
	// Allow says whether the tracker serves an info hash: SHA-1, or the first 20 bytes of a v2 swarm's SHA-256. Nil serves all. It is
	// called for each announce, from many goroutines, and must be quick.
	Allow func(infoHash [20]byte) bool
	// Here says at which address a peer reaches this machine, for peers that announced over loopback and so have none to show: what a
	// port forwarding or a public URL names. Where it is nil or returns the zero Addr, it is the address that the peer connected to or,
	// for UDP, the one that packets to the peer leave from.
	Here func(peer netip.Addr) netip.Addr
	// NumWant is how many peers an announce gets that does not say. Zero means 50.
	NumWant int
	// MaxNumWant is how many peers an announce gets at most. Zero means 200. UDP over IPv6 gives at most 67, what fits a packet.
	MaxNumWant int
	// MaxPeers bounds the peers of all swarms together. Zero means 2,097,152 (some 130 MB).
	MaxPeers int
	// MaxSwarms bounds the swarms. Zero means 262,144.
	MaxSwarms int
	// Log receives the server's log. Nil discards it.
	Log *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Interval = cmp.Or(c.Interval, 30*time.Minute)
	c.NumWant = cmp.Or(c.NumWant, 50)
	c.MaxNumWant = cmp.Or(c.MaxNumWant, 200)
	c.MaxPeers = cmp.Or(c.MaxPeers, 1<<21)
	c.MaxSwarms = cmp.Or(c.MaxSwarms, 1<<18)
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	return c
}

// Server is a tracker. Its methods may be called from many goroutines.
type Server struct {
	config  Config
	start   time.Time // what the store's seconds count from
	store   *store
	secret  [32]byte // of the connection ids
	scratch sync.Pool

	connects, scrapes, refused, malformed atomic.Int64
}

// New makes a tracker that knows nobody.
func New(c Config) *Server {
	c = c.withDefaults()
	s := &Server{config: c, start: time.Now(), store: newStore(c)}
	rand.Read(s.secret[:])
	s.scratch.New = func() any { return new(scratch) }
	return s
}

// sweepEvery is how often expired peers are taken out of memory; they are not given to anybody from the second they expire.
const sweepEvery = 30 * time.Second

// Run forgets peers that have fallen silent until ctx is done. The doors work without it, but memory is then bounded only by MaxPeers.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.store.sweep(s.now())
		}
	}
}

// now is the store's clock: seconds since the server was made, from 1 so that 0 can mean never.
func (s *Server) now() uint32 { return 1 + uint32(time.Since(s.start)/time.Second) }

// scratch is what one announce needs while it is answered.
type scratch struct {
	request request
	answer  answer
	body    []byte
}

// failure is what a peer reads when it is not served ("failure reason", UDP action 3).
type failure string

func (f failure) Error() string { return string(f) }

const (
	failRefused   failure = "this tracker does not serve this info hash"
	failConnID    failure = "connection id expired" // with its header shorter than a scrape, see appendStale
	failMalformed failure = "malformed request"
	warnFull              = "the tracker is full: you are not listed"
)

// door is the way an announce came in, for Stats.
type door uint8

const (
	doorHTTP door = iota
	doorUDP
	doors
)

type event uint8

const (
	eventNone event = iota
	eventStarted
	eventCompleted
	eventStopped
	eventPaused
)

// request is an announce, checked.
type request struct {
	hash     [20]byte
	id       [20]byte
	from     netip.Addr // the sender's, unmapped and without a zone
	port     uint16     // 0: cannot be dialled
	left     bool       // pieces are missing
	event    event
	want     int        // peers wished for; < 0: the default
	site     uint32     // 0: none, see siteOf
	families bool       // the answer may hold addresses of the other family as well
	idle     bool       // has moved no byte yet
	here     netip.Addr // at which the sender reached the tracker, if the door knows
}

// kind is what the announce says its sender is.
func (r *request) kind() kind {
	switch {
	case !r.left:
		return seed
	case r.event == eventPaused:
		return partial
	default:
		return leecher
	}
}

// wants says whether the sender is to be told of seeds. One that says it is a seed may be wrong: aria2 announces left=0 while it has
// nothing but a magnet link, and without a seed it never gets any further.
func (r *request) wants() bool {
	return r.kind() == leecher || r.kind() == seed && r.idle && bytes.HasPrefix(r.id[:], []byte("A2-"))
}

// answer is what an announce gets.
type answer struct {
	interval, minInterval uint32 // seconds
	counts                counts
	v4                    []peer[[4]byte]
	v6                    []peer[[16]byte]
	home4                 []peer[[4]byte] // peers on the tracker's machine, still without an address that others can use
	home6                 []peer[[16]byte]
	warning               string
}

// counts are a swarm's, as BEP 48 and BEP 21 name them.
type counts struct {
	complete, incomplete, downloaders int
	downloaded                        uint32
}

// announce is the one logic behind the doors.
func (s *Server) announce(d door, r *request, a *answer) error {
	if s.config.Allow != nil && !s.config.Allow(r.hash) {
		s.refused.Add(1)
		return failRefused
	}
	if r.want < 0 {
		r.want = s.config.NumWant
	}
	r.want = min(r.want, s.config.MaxNumWant)
	s.store.announce(s.now(), d, r, a)
	if len(a.home4)+len(a.home6) > 0 {
		s.addHome(r, a)
	}
	return nil
}

// scrape returns the counts of a swarm. A hash that is unknown or not served has none.
func (s *Server) scrape(hash [20]byte) (counts, bool) {
	if s.config.Allow != nil && !s.config.Allow(hash) {
		return counts{}, false
	}
	return s.store.counts(hash)
}

// siteOf is a site's number: FNV-1a, which is the same in each process, so that snapshots and trackers that share peers agree. Two sites
// with one number are told of each other first; nothing worse.
func siteOf(name []byte) uint32 {
	if len(name) == 0 {
		return 0
	}
	h := uint32(2166136261)
	for _, c := range name {
		h = (h ^ uint32(c)) * 16777619
	}
	return max(h, 1)
}
