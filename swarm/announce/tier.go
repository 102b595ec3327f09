package announce

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"shoal/swarm/agenda"
)

// tier is trackers that stand in for each other. s.mu guards all but job, urls and ids; the latter
// two belong to the worker that has the tier.
type tier struct {
	job  Job
	urls []string
	ids  map[string]string // tracker ids, by URL; nil while there are none

	agenda.Entry           // when a worker looks at it; not queued: a worker or a full host has it, or it is closed
	hurried      time.Time // when to announce even though it is not time yet; zero: never

	next      time.Time // when to announce
	started   bool      // a tracker has accepted an announce
	completed bool      // to be said
	closing   bool
	heirs     []*tier // that wait until this one is closed
	before    int     // tiers that this one waits for
	knower    string  // the tracker that knows of us; "": none
	fails     int     // how often in a row no tracker has served us
	round     int     // how often in a row we have come back early
	reply     Reply   // the last one, without its peers
	status    TrackerStatus
}

// look decides, for a tier that is due, whether to announce it now. If not, it is queued again.
func (s *Scheduler) look(t *tier, st State) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if t.closing || t.status.Last.IsZero() {
		return true
	}
	switch wait := pause(t.reply, t.status.Peers, t.round, st); {
	case t.fails > 0:
	case st.Hungry: // it may have become so since the last answer
		t.next = earlier(t.next, t.status.Last.Add(wait))
	case t.round > 0: // next is early, and it has got what it was to come back for
		t.next = t.status.Last.Add(wait)
	}
	if !st.Hungry {
		t.round = 0
	}
	at := t.next
	if !t.hurried.IsZero() {
		at = earlier(at, t.hurried)
	}
	if !now.Before(at) {
		return true
	}
	s.rest(t, at, st)
	return false
}

// rest queues a tier until it is to announce, or until it is worth a look. s.mu is held.
func (s *Scheduler) rest(t *tier, at time.Time, st State) {
	if t.fails == 0 && st.Left != 0 && !st.Hungry && !st.Paused {
		at = earlier(at, time.Now().Add(lookEvery))
	}
	if !t.hurried.IsZero() {
		at = earlier(at, t.hurried)
	}
	s.push(t, at)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// event is what the next announce is made for. s.mu is held.
func (t *tier) event(st State) Event {
	switch {
	case t.completed:
		return Completed
	case st.Paused && st.Left != 0: // in every announce, BEP 21
		return Paused
	case !t.started:
		return Started
	}
	return None
}

// hashes are those that the next announce is of. s.mu is held.
func (t *tier) hashes(event Event) [][20]byte {
	if t.job.Crowd && event == Started && t.fails == 0 { // later all: a tracker that refuses the first may know the others
		return t.job.InfoHashes[:1]
	}
	return t.job.InfoHashes
}

// announce asks the tier's trackers in turn until one answers.
func (s *Scheduler) announce(ctx context.Context, t *tier) {
	st := t.job.State()
	if !s.look(t, st) {
		return
	}
	s.mu.Lock()
	closing, event := t.closing, t.event(st)
	t.hurried = time.Time{} // what comes from here on is for the next time
	hashes := t.hashes(event)
	s.mu.Unlock()
	if closing {
		s.stop(context.WithoutCancel(ctx), t) // a farewell has its own time: if it were cut off, it would have to be said again
		return
	}
	var rep Reply
	err, asked := errors.New("no tracker"), false
	for i, url := range t.urls {
		name := hostOf(url)
		door, why := s.enter(name, t)
		switch door {
		case full:
			return // it comes back when the host has room
		case down:
			err = why
			continue
		}
		asked = true
		rep, err = s.askAll(ctx, t, url, hashes, event, st)
		s.leave(name, verdict(ctx, err))
		if ctx.Err() != nil { // the request may have arrived
			s.mu.Lock()
			t.knower = url
			s.mu.Unlock()
			return
		}
		if err == nil {
			copy(t.urls[1:i+1], t.urls[:i]) // BEP 12: it moves to the front
			t.urls[0] = url
			break
		}
		s.cfg.Log.Debug("tracker", "source", url, "err", err)
	}
	if err == nil && len(rep.Peers) > 0 {
		t.job.Found(t.urls[0], rep.Peers)
	}
	s.settle(t, event, st, rep, err, asked)
}

// verdict is what the outcome of a request says about the host: nil if it answered, even if it
// refused.
func verdict(ctx context.Context, err error) error {
	var words *answerError
	switch {
	case ctx.Err() != nil:
		return context.Canceled
	case errors.As(err, &words):
		return nil
	}
	return err
}

// settle books the outcome of an announce and queues the tier again.
func (s *Scheduler) settle(t *tier, event Event, st State, rep Reply, err error, asked bool) {
	retry := s.retryAt(t.urls)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if err == nil && event == Completed {
		t.completed = false
	}
	if !t.completed && !t.closing { // a Kick meanwhile has got what it wanted
		t.hurried = time.Time{}
	}
	t.status.URL, t.status.Last, t.status.Err, t.status.Warning = t.urls[0], now, "", rep.Warning
	if err != nil {
		t.status.Err = err.Error()
		t.fails++
		t.next = now.Add(max(backoff(t.fails), rep.RetryIn))
		if retry.After(now) && (!asked || retry.Before(t.next)) {
			t.next = retry // then a host of this tier is tried again
		}
		s.rest(t, t.next, st)
		return
	}
	t.status.Seeders, t.status.Leechers, t.status.Peers = rep.Seeders, rep.Leechers, len(rep.Peers)
	if len(t.hashes(event)) < len(t.job.InfoHashes) && t.hurried.IsZero() { // else it announces all at once, or leaves
		t.hurried = now.Add(max(crowdTime+rand.N(crowdTime), floor(rep, len(rep.Peers), t.round)))
	}
	t.started, t.knower, t.fails = true, t.urls[0], 0
	t.reply = rep
	t.reply.Peers = nil
	wait := pause(rep, len(rep.Peers), t.round, st)
	if st.Hungry {
		t.round++
	} else {
		t.round = 0
	}
	if st.Idle {
		wait = spread(wait)
	}
	t.next = now.Add(wait)
	s.rest(t, t.next, st)
}

// stop says "stopped" to the tracker that knows of us and closes the tier.
func (s *Scheduler) stop(ctx context.Context, t *tier) {
	s.mu.Lock()
	url := t.knower
	s.mu.Unlock()
	if url != "" {
		name := hostOf(url)
		switch door, _ := s.enter(name, t); door {
		case full:
			return
		case open:
			s.leave(name, verdict(ctx, s.sayStopped(ctx, t, url)))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(t)
}

func (s *Scheduler) sayStopped(ctx context.Context, t *tier, url string) error {
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	_, err := s.askAll(ctx, t, url, t.job.InfoHashes, Stopped, t.job.State())
	return err
}

// announceTime bounds one request.
const announceTime = 20 * time.Second

// askAll announces the job's hashes, of which a hybrid has two, to one tracker side by side: who fetches waits for the slower
// of them, and not for one after the other. It has answered if it answered for one.
func (s *Scheduler) askAll(ctx context.Context, t *tier, url string, hashes [][20]byte, event Event, st State) (rep Reply, err error) {
	ctx, cancel := context.WithTimeout(ctx, announceTime)
	defer cancel()
	q := Request{
		PeerID: s.cfg.PeerID, Port: int(s.port.Load()), Uploaded: st.Uploaded, Downloaded: st.Downloaded, Left: st.Left,
		Event: event, NumWant: s.cfg.NumWant, Key: s.cfg.Key, Site: s.cfg.Site, TrackerID: t.ids[url], UserAgent: s.cfg.UserAgent,
	}
	if event == Stopped {
		q.NumWant = 0
	}
	replies, errs := make([]Reply, len(hashes)), make([]error, len(hashes))
	var wg sync.WaitGroup
	for i, h := range hashes {
		wg.Go(func() {
			q := q
			q.InfoHash = h
			replies[i], errs[i] = s.ask.announce(ctx, url, q)
		})
	}
	wg.Wait()
	answered := false
	for i, r := range replies {
		if errs[i] != nil {
			err = errs[i]
			rep.RetryIn = max(rep.RetryIn, r.RetryIn)
			continue
		}
		answered = true
		if r.TrackerID != "" {
			if t.ids == nil {
				t.ids = make(map[string]string)
			}
			t.ids[url] = r.TrackerID
		}
		if s.alone(r) {
			r.Peers = nil
		}
		for _, p := range r.Peers {
			self := p.ID == s.cfg.PeerID && p.ID != [20]byte{}
			if !self && len(rep.Peers) < maxPeers && !slices.ContainsFunc(rep.Peers, func(o Peer) bool { return o.Addr == p.Addr }) {
				rep.Peers = append(rep.Peers, p)
			}
		}
		if rep.Interval == 0 || r.Interval > 0 && r.Interval < rep.Interval {
			rep.Interval = r.Interval
		}
		rep.MinInterval = max(rep.MinInterval, r.MinInterval)
		rep.Seeders, rep.Leechers = max(rep.Seeders, r.Seeders), max(rep.Leechers, r.Leechers)
		rep.Warning = cmp.Or(r.Warning, rep.Warning)
	}
	if answered {
		err = nil
	}
	return rep, err
}

// alone says whether a reply names nobody but us: opentracker does not leave the asker out.
func (s *Scheduler) alone(r Reply) bool {
	return r.Seeders+r.Leechers == 1 && len(r.Peers) == 1 && s.port.Load() != 0 && int32(r.Peers[0].Addr.Port()) == s.port.Load()
}
