package dht

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"shoal/swarm/agenda"
)

// Job is a torrent to look for and to announce. Its functions are called by goroutines of the node and must be quick; Found may be called once more
// while it is stopped.
type Job struct {
	// Hashes are the names of the torrent: the SHA-1 hash, and the first 20 bytes of the SHA-256 one. All are looked for.
	Hashes func() [][20]byte
	// State says how much it matters now.
	State func() State
	// Port is the TCP port that peers can dial: what is announced. It need not be the UDP port, nor ours: a router may have given another. 0: nothing is.
	Port func() int
	// Found takes peers.
	Found func([]netip.AddrPort)
}

// State is how much a job matters.
type State struct {
	// Hungry says that content is missing and peers are few.
	Hungry bool
	// Seed says that nothing is missing: we look only so that others find us.
	Seed bool
}

const (
	lookers = 4 // jobs at a time
	// againTime is the pause between look-ups when nothing presses; announceTime is a seed's, well below the half hour after which other clients forget peers.
	againTime, announceTime = 10 * time.Minute, 15 * time.Minute
	// checkTime is how often a job is asked whether it has become hungry.
	checkTime = 30 * time.Second
	// seedsPerSec bounds the look-ups for seeds, so that who seeds ten thousand torrents does each in three hours, not thousands at once.
	seedsPerSec, seedBurst = 2, 20
	// lookTime bounds one job's look-up.
	lookTime = 30 * time.Second
)

// early are the first pauses: a swarm, or a network, may be as young as we are.
var early = [...]time.Duration{5 * time.Second, 15 * time.Second, time.Minute}

// pause is how long after a look-up the next one is due: round of them in a row have pressed, and the last was stored by so many nodes.
func pause(st State, round, stored int) time.Duration {
	switch {
	case (st.Hungry || st.Seed && stored < closest) && round < len(early):
		return early[round]
	case st.Seed:
		return announceTime
	}
	return againTime
}

// scheduler knows which job is due when.
type scheduler struct {
	mu    sync.Mutex
	queue agenda.Queue[*job]
	all   int
	names map[ID]*job // by what they were looked for last
	wake  chan struct{}
}

// job belongs to the scheduler while it is queued, else to the goroutine that looks.
type job struct {
	Job
	agenda.Entry
	last     time.Time
	round    int // how many look-ups before the last one pressed, in a row
	stored   int
	reserved bool // its turn among the seeds has been given out
	stopped  atomic.Bool
	names    [][20]byte // in the scheduler's map
}

func (s *scheduler) init() { s.wake, s.names = make(chan struct{}, 1), make(map[ID]*job) }

// find is the job by one of its names; nil if there is none.
func (s *scheduler) find(hash ID) *job {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.names[hash]
}

// rename notes by which names a job is looked for.
func (s *scheduler) rename(j *job, names [][20]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range j.names {
		if s.names[h] == j {
			delete(s.names, h)
		}
	}
	if j.names = names; j.stopped.Load() {
		j.names = nil
	}
	for _, h := range j.names {
		s.names[h] = j
	}
}

func (s *scheduler) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}

func (s *scheduler) push(j *job, due time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j.stopped.Load() {
		return
	}
	if s.queue.Put(j, due) {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// pop takes a job that is due, or says how long until one is.
func (s *scheduler) pop(now time.Time) (*job, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queue.Next(now)
}

func (s *scheduler) stop(j *job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j.stopped.Swap(true) {
		return
	}
	s.all--
	for _, h := range j.names {
		if s.names[h] == j {
			delete(s.names, h)
		}
	}
	s.queue.Remove(j)
}

// Find looks for peers of a torrent, at once and again and again, and lets others find us, until stop is called.
func (n *Node) Find(j Job) (stop func()) {
	x := &job{Job: j}
	n.jobs.mu.Lock()
	n.jobs.all++
	n.jobs.mu.Unlock()
	n.jobs.rename(x, j.Hashes())
	n.jobs.push(x, time.Now())
	return func() { n.jobs.stop(x) }
}

// runJobs looks for what is due until ctx is done.
func (n *Node) runJobs(ctx context.Context) {
	select {
	case <-n.resolved:
	case <-ctx.Done():
		return
	}
	work := make(chan *job)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(work)
	for range lookers {
		wg.Go(func() {
			for j := range work {
				n.look(ctx, j)
			}
		})
	}
	for {
		j, wait := n.jobs.pop(time.Now())
		if j == nil {
			timer := time.NewTimer(wait)
			select {
			case <-ctx.Done():
			case <-timer.C:
			case <-n.jobs.wake:
			}
			timer.Stop()
			if ctx.Err() != nil {
				return
			}
			continue
		}
		if at := n.turn(j, time.Now()); at.After(time.Now()) {
			n.jobs.push(j, at)
			continue
		}
		select {
		case work <- j:
		case <-ctx.Done():
			return
		}
	}
}

// turn says when a job that is due is to be done: now, or later.
func (n *Node) turn(j *job, now time.Time) time.Time {
	st := j.State()
	if at := j.last.Add(pause(st, j.round, j.stored)); !j.last.IsZero() && now.Before(at) {
		if !st.Seed && now.Add(checkTime).Before(at) {
			return now.Add(checkTime)
		}
		return at
	}
	if !st.Seed || j.reserved {
		return now
	}
	j.reserved = true
	return now.Add(n.seeding.ReserveN(now, max(1, min(len(j.Hashes()), seedBurst))).DelayFrom(now))
}

// look does one job.
func (n *Node) look(ctx context.Context, j *job) {
	if j.stopped.Load() {
		return
	}
	if !j.last.IsZero() && j.round < len(early) {
		j.round++
	}
	limited, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	least := -1
	names := j.Hashes()
	n.jobs.rename(j, names)
	for _, h := range names {
		wg.Go(func() {
			k := n.Lookup(limited, h, j.Port(), func(peers []netip.AddrPort) {
				if !j.stopped.Load() {
					j.Found(peers)
				}
			})
			mu.Lock()
			defer mu.Unlock()
			if least < 0 || k < least {
				least = k
			}
		})
	}
	wg.Wait()
	st := j.State()
	j.last, j.stored, j.reserved = time.Now(), max(least, 0), false
	if !st.Hungry && !st.Seed {
		j.round = 0
	}
	wait := pause(st, j.round, j.stored)
	if !st.Seed {
		wait = min(wait, checkTime)
	} else if wait > time.Minute {
		wait += rand.N(wait / 10)
	}
	n.jobs.push(j, j.last.Add(wait))
}
