package announce

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"shoal/swarm/agenda"
)

// Peer is a peer that a tracker names.
type Peer struct {
	Addr netip.AddrPort
	ID   [20]byte // zero if it did not say
}

// State is what a torrent tells its trackers.
type State struct {
	Uploaded, Downloaded, Left int64 // bytes; Left < 0: not known yet
	Hungry                     bool  // pieces are missing and peers are few: come back early
	Idle                       bool  // a seed that nobody asks
	Paused                     bool  // has what it wants and fetches no more, although Left is not 0 (BEP 21)
}

// Job is a torrent to announce. Its functions are called by workers and must be quick; Found may
// be called once more while Close returns.
type Job struct {
	// InfoHashes are all announced: SHA-1, and the first 20 bytes of the SHA-256 (BEP 52).
	InfoHashes [][20]byte
	// Crowd says that many ask the trackers at this moment: the first announce is of the first hash alone, which all but a few are found by, if a tracker
	// serves that. The others come with the next one, a minute or two later unless there is another reason.
	Crowd bool
	// Tiers are announce URLs (BEP 12): http, https or udp; others are left out.
	Tiers [][]string
	State func() State
	Found func(from string, peers []Peer)
}

// Config configures a Scheduler. PeerID should be set; the rest may be zero.
type Config struct {
	PeerID    [20]byte
	Port      int // that others can dial; 0: none
	Key       uint32
	NumWant   int    // 0: 50
	Site      string // told to trackers, which name neighbours first; "": not told
	UserAgent string
	HTTP      *http.Client // nil: one with sane bounds
	Workers   int          // 0: 8
	Log       *slog.Logger
}

// Scheduler announces jobs.
type Scheduler struct {
	cfg  Config
	ask  client
	wake chan struct{}
	port atomic.Int32 // what trackers are told

	mu      sync.Mutex
	queue   agenda.Queue[*tier]
	tiers   map[*tier]bool // all that are not closed, queued or not
	leaving map[*tier]bool // those of them that are to say "stopped"
	hosts   map[string]*host
}

// NewScheduler makes a Scheduler; nothing happens until Run.
func NewScheduler(c Config) *Scheduler {
	c.NumWant = cmp.Or(c.NumWant, 50)
	c.Workers = cmp.Or(c.Workers, 8)
	c.Key = cmp.Or(c.Key, rand.Uint32())
	c.UserAgent = cmp.Or(c.UserAgent, "Shoal")
	if c.HTTP == nil {
		c.HTTP = newClient()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s := &Scheduler{cfg: c, ask: client{http: c.HTTP, udp: new(sockets)}, wake: make(chan struct{}, 1),
		tiers: make(map[*tier]bool), leaving: make(map[*tier]bool), hosts: make(map[string]*host)}
	s.port.Store(int32(c.Port))
	return s
}

// SetPort has trackers told another port from their next announces on.
func (s *Scheduler) SetPort(port int) { s.port.Store(int32(port)) }

// Entry is a job that was added.
type Entry struct {
	s     *Scheduler
	tiers []*tier
}

// TrackerStatus is how a tier's tracker answered last.
type TrackerStatus struct {
	URL                      string
	Last, Next               time.Time
	Err                      string // "" if it did
	Warning                  string
	Seeders, Leechers, Peers int
}

// Add announces a job from now on.
func (s *Scheduler) Add(j Job) *Entry {
	e := &Entry{s: s}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, urls := range j.Tiers {
		urls = slices.DeleteFunc(slices.Clone(urls), func(u string) bool { return !supported(u) })
		if len(urls) == 0 {
			continue
		}
		rand.Shuffle(len(urls), func(i, k int) { urls[i], urls[k] = urls[k], urls[i] })
		t := &tier{job: j, urls: urls}
		t.status.URL = urls[0]
		e.tiers = append(e.tiers, t)
		s.tiers[t] = true
		if !s.waits(t) {
			s.push(t, now)
		}
	}
	return e
}

// Completed says that the last piece has come (BEP 3).
func (e *Entry) Completed() {
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	for _, t := range e.tiers {
		t.completed = true
		e.s.hurry(t, time.Now())
	}
}

// Kick announces as soon as the trackers' min interval allows.
func (e *Entry) Kick() {
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	for _, t := range e.tiers {
		at := time.Now()
		if !t.status.Last.IsZero() {
			if soonest := t.status.Last.Add(floor(t.reply, t.status.Peers, t.round)); soonest.After(at) {
				at = soonest
			}
		}
		e.s.hurry(t, at)
	}
}

// Close says "stopped", in the background, and forgets the job.
func (e *Entry) Close() {
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	for _, t := range e.tiers {
		if !t.closing {
			t.closing = true
			e.s.leaving[t] = true
			e.s.hurry(t, time.Now())
		}
	}
}

// Status says how each tier's tracker has answered.
func (e *Entry) Status() []TrackerStatus {
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	var l []TrackerStatus
	for _, t := range e.tiers {
		st := t.status
		st.Next = t.next
		l = append(l, st)
	}
	return l
}

// stopTime bounds the farewell to all trackers together, lastTime what is being asked when it is time to go: an announce that is
// given up may be read by the tracker after the farewell, which comes on another connection, and we would be in its list again.
const (
	stopTime = 2 * time.Second
	lastTime = 200 * time.Millisecond
)

// Run announces until ctx is done, says farewell, and returns when everything has stopped.
func (s *Scheduler) Run(ctx context.Context) error {
	work := make(chan *tier)
	var wg sync.WaitGroup
	asking, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	for range s.cfg.Workers {
		wg.Go(func() {
			for t := range work {
				s.announce(asking, t)
			}
		})
	}
	for ctx.Err() == nil {
		t, wait := s.due()
		if t != nil {
			select {
			case work <- t:
			case <-ctx.Done():
			}
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-s.wake:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	close(work)
	last := time.AfterFunc(lastTime, giveUp)
	wg.Wait()
	last.Stop()
	s.farewell()
	s.ask.udp.close()
	s.cfg.HTTP.CloseIdleConnections()
	return nil
}

// farewell says "stopped" for everything that trackers know of.
func (s *Scheduler) farewell() {
	s.mu.Lock()
	var known []*tier
	for t := range s.tiers {
		if h := s.hosts[hostOf(t.knower)]; t.knower != "" && (h == nil || h.fails == 0) {
			known = append(known, t)
		}
	}
	s.mu.Unlock()
	if len(known) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	work := make(chan *tier)
	var wg sync.WaitGroup
	for range min(len(known), 32) {
		wg.Go(func() {
			for t := range work {
				if err := s.sayStopped(ctx, t, t.knower); err != nil {
					s.cfg.Log.Debug("tracker", "source", t.knower, "err", err)
				}
			}
		})
	}
	for _, t := range known {
		if ctx.Err() != nil {
			break
		}
		work <- t
	}
	close(work)
	wg.Wait()
}

// due takes the tier that is due, or says how long until one is.
func (s *Scheduler) due() (*tier, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queue.Next(time.Now())
}

// push queues a tier that is not queued. s.mu is held.
func (s *Scheduler) push(t *tier, due time.Time) {
	if s.queue.Put(t, due) {
		s.poke()
	}
}

// hurry makes a tier announce at a time, if not before. One that a worker or a full host has will
// be looked at again afterwards. s.mu is held.
func (s *Scheduler) hurry(t *tier, at time.Time) {
	if t.hurried.IsZero() || at.Before(t.hurried) {
		t.hurried = at
	}
	if s.queue.Sooner(t, at) {
		s.poke()
	}
}

// poke has Run look at the queue.
func (s *Scheduler) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
