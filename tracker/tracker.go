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

	"golang.org/x/sync/errgroup"
)

// Config configures a Server. The zero value is usable.
type Config struct {
	// Interval is how long a peer of a settled swarm waits between announces (BEP 3). Zero means 30 minutes. Young and active swarms are
	// told less, see cadence.
	Interval time.Duration
	// Allow says whether the tracker serves an info hash: SHA-1, or the first 20 bytes of a v2 swarm's SHA-256. Nil serves all. It is
	// called for each announce (but see AllowVersion), from many goroutines, and must be quick.
	Allow func(infoHash [20]byte) bool
	// NameOf answers which info hash stands for a content that has several, as a hybrid has: in Stats its swarms count as one, that of the most peers. !ok, or nil: the
	// hash stands for itself.
	NameOf func(infoHash [20]byte) (first [20]byte, ok bool)
	// AllowVersion, if it is not nil, changes from one number above 0 to another when Allow may answer otherwise than before, and spares Allow most calls.
	AllowVersion func() uint32
	// Token says whether a token is good: announces come to /TOKEN/announce then (BEP 41 carries that path over UDP), and without a good one
	// they are refused. Nil asks for none. It is called like Allow, must not keep the text, and is asked about "" where there is none.
	// Scrapes over UDP carry no token (BEP 41 has options for announces alone), so where there are tokens they are refused.
	Token func(token string) bool
	// Sites returns the map of networks to sites, for peers that name no site. Nil, or a nil map, knows none. It is called like Allow.
	Sites func() *Sites
	// TrustedProxies are the networks of proxies whose X-Forwarded-For is believed. Nobody else's is.
	TrustedProxies []netip.Prefix
	// RequestsPerSec is how many announces and scrapes per second one source may make, an IPv4 address or a /64 of IPv6; for a while it may
	// make more, see limiter. Zero is no limit.
	RequestsPerSec int
	// Shared is where this tracker and others share their peers; it is not closed. Nil: with nobody.
	Shared *Redis
	// Here says at which address a peer reaches this machine, for peers that announced over loopback and so have none to show: what a
	// port forwarding or a public URL names. Where it is nil or returns the zero Addr, it is the address that the peer connected to or,
	// for UDP, the one that packets to the peer leave from.
	Here func(peer netip.Addr) netip.Addr
	// NumWant is how many peers an announce gets that does not say. Zero means 50.
	NumWant int
	// MaxNumWant is how many peers an announce gets at most. Zero means 200. UDP over IPv6 gives at most 67, what fits a packet.
	MaxNumWant int
	// MaxPeers bounds the peers of all swarms together. Zero means 2,097,152 (some 100 MB).
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
	keys    atomic.Pointer[keys]
	limit   *limiter
	share   *share // nil: with nobody
	scratch sync.Pool
	date    dateLine
	rate    rate

	connects, scrapes, refused, limited, malformed atomic.Int64
}

// New makes a tracker that knows nobody.
func New(c Config) *Server {
	c = c.withDefaults()
	s := &Server{config: c, start: time.Now(), store: newStore(c), limit: newLimiter(c.RequestsPerSec)}
	if c.Shared != nil {
		s.share = newShare(c.Shared)
	}
	var secret [32]byte
	rand.Read(secret[:])
	s.keys.Store(newKeys(secret))
	s.scratch.New = func() any { return new(scratch) }
	return s
}

// sweepEvery is how often expired peers are taken out of memory; they are not given to anybody from the second they expire.
const sweepEvery = 30 * time.Second

// Run forgets peers that have fallen silent until ctx is done, and keeps the rate of [Server.Stats]. The doors work without it, but memory is
// then bounded only by MaxPeers. It also shares peers with other trackers, if there are any ([Config.Shared]).
func (s *Server) Run(ctx context.Context) error {
	if s.share == nil {
		return s.loop(ctx)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.loop(ctx) })
	g.Go(func() error { s.writeLog(ctx); return nil })
	g.Go(func() error { s.readLog(ctx); return nil })
	return g.Wait()
}

func (s *Server) loop(ctx context.Context) error {
	s.rate.count(s.store.announced())
	sweep, count := time.NewTicker(sweepEvery), time.NewTicker(rateEvery)
	defer sweep.Stop()
	defer count.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-sweep.C:
			s.store.sweep(s.now())
		case <-count.C:
			s.rate.count(s.store.announced())
		}
	}
}

// now is the store's clock: seconds since the server was made, from 1 so that 0 can mean never.
func (s *Server) now() uint32 { return s.secondOf(time.Now()) }

func (s *Server) secondOf(t time.Time) uint32 { return 1 + uint32(max(t.Sub(s.start), 0)/time.Second) }

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
	failToken     failure = "this tracker needs a token in its URL: /TOKEN/announce"
	failLimited   failure = "too many requests from your address"
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
	ids      bool       // the answer holds peer ids
	idle     bool       // has moved no byte yet
	here     netip.Addr // at which the sender reached the tracker, if the door knows
	token    [maxToken]byte
	tokenLen int
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
	v4                    choice[[4]byte]
	v6                    choice[[16]byte]
	home4                 choice[[4]byte] // peers on the tracker's machine, still without an address that others can use
	home6                 choice[[16]byte]
	warning               string
	site                  string // where the site map says the sender is, if it did not say so itself
}

// reset makes it empty, and keeps its memory.
func (a *answer) reset() {
	a.v4.reset()
	a.v6.reset()
	a.home4.reset()
	a.home6.reset()
	a.interval, a.minInterval, a.counts, a.warning, a.site = 0, 0, counts{}, "", ""
}

// counts are a swarm's, as BEP 48 and BEP 21 name them.
type counts struct {
	complete, incomplete, downloaders int
	downloaded                        uint32
}

// announce is the one logic behind the doors.
func (s *Server) announce(d door, r *request, a *answer, now time.Time) error {
	if r.want < 0 {
		r.want = s.config.NumWant
	}
	r.want = min(r.want, s.config.MaxNumWant)
	at := site{}
	if r.site == 0 && s.config.Sites != nil {
		at = s.config.Sites().at(r.from)
		r.site = at.number
	}
	g := gate{allow: s.config.Allow}
	if s.config.AllowVersion != nil {
		g.version = s.config.AllowVersion()
	}
	if !s.store.announce(s.secondOf(now), d, r, a, g) {
		s.refused.Add(1)
		return failRefused
	}
	a.site = at.name
	if s.share != nil && a.warning == "" {
		s.share.add(r, lifetime(a.interval))
	}
	if len(a.home4.peers)+len(a.home6.peers) > 0 {
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
