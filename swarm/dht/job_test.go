package dht

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestPause(t *testing.T) {
	hungry, fed, seed := State{Hungry: true}, State{}, State{Seed: true}
	for _, c := range []struct {
		st            State
		round, stored int
		want          time.Duration
	}{
		{hungry, 0, 8, 5 * time.Second}, {hungry, 1, 8, 15 * time.Second}, {hungry, 2, 8, time.Minute}, {hungry, 3, 8, 10 * time.Minute},
		{fed, 0, 8, 10 * time.Minute},
		{seed, 0, 8, announceTime}, {seed, 0, 3, 5 * time.Second}, {seed, 3, 3, announceTime}, // few have stored it: the network is young
	} {
		if got := pause(c.st, c.round, c.stored); got != c.want {
			t.Errorf("pause(%+v, %d, %d) = %s, want %s", c.st, c.round, c.stored, got, c.want)
		}
	}
}

// Who comes first finds who comes later: both look again and again.
func TestJobsFindEachOther(t *testing.T) {
	bubble(t, func(t *testing.T, l *lan) {
		nodes := l.network(t, 30, Config{})
		time.Sleep(time.Minute)
		v1, v2 := [20]byte{1}, [20]byte{2}
		var mu sync.Mutex
		var got []netip.AddrPort
		hungry := Job{Hashes: func() [][20]byte { return [][20]byte{v1, v2} }, Port: func() int { return 1 },
			State: func() State { return State{Hungry: true} }, Found: func(p []netip.AddrPort) {
				mu.Lock()
				defer mu.Unlock()
				got = append(got, p...)
			}}
		stop := nodes[3].Find(hungry)
		time.Sleep(time.Second)
		seed := job99(v2, nil) // it knows one half of the hybrid
		stopSeed := nodes[9].Find(seed)
		time.Sleep(10 * time.Second)
		stop()
		mu.Lock()
		defer mu.Unlock()
		if want := netip.AddrPortFrom(l.addrs[nodes[9]].Addr(), 99); !slices.Contains(got, want) {
			t.Errorf("found %v, want %v", got, want)
		}
		stopSeed()
		if n := nodes[9].Stats().Torrents + nodes[3].Stats().Torrents; n != 0 {
			t.Errorf("%d torrents after all have stopped", n)
		}
	})
}

// Once stopped a job is not looked for again, whenever that is; and what has become hungry is noticed soon.
func TestJobsInTime(t *testing.T) {
	bubble(t, func(t *testing.T, l *lan) {
		n := l.start(t, Config{})
		var hungry atomic.Bool
		hungry.Store(true)
		j := job99([20]byte{1}, nil)
		j.State = func() State { return State{Hungry: hungry.Load()} }
		before := n.counts.lookups.Load() // the first look-up begins at once
		count := func(d time.Duration) int64 {
			time.Sleep(d)
			now := n.counts.lookups.Load()
			defer func() { before = now }()
			return now - before
		}
		stop := n.Find(j)
		if got := count(2 * time.Minute); got != 4 { // at 0, 5, 20 and 80 s
			t.Errorf("%d look-ups in the first two minutes, want 4", got)
		}
		if got := count(30 * time.Minute); got != 3 {
			t.Errorf("%d in half an hour, want 3", got)
		}
		hungry.Store(false)
		if got := count(time.Hour); got != 6 {
			t.Errorf("%d in an hour, want 6", got)
		}
		hungry.Store(true)
		if got := count(2 * time.Minute); got < 2 {
			t.Errorf("%d in two minutes after it has become hungry", got)
		}
		stop()
		stop()
		if got := count(time.Hour); got > 1 { // one may have been about to begin
			t.Errorf("%d after the stop", got)
		}
	})
}

// Ten thousand idle seeds are announced one after the other, at a bounded rate; a torrent that is wanted does not wait behind them.
func TestManySeeds(t *testing.T) {
	bubble(t, func(t *testing.T, l *lan) {
		n := l.start(t, Config{})
		for i := range 10_000 {
			n.Find(job99([20]byte{1, byte(i >> 8), byte(i)}, nil))
		}
		time.Sleep(time.Minute)
		if got := n.counts.lookups.Load(); got > 60*seedsPerSec+seedBurst+1 {
			t.Errorf("%d look-ups for seeds in a minute", got)
		}
		var asked atomic.Bool
		j := job99([20]byte{2}, nil)
		j.State = func() State { asked.Store(true); return State{Hungry: true} }
		before := n.counts.lookups.Load()
		n.Find(j)
		time.Sleep(time.Second)
		if !asked.Load() || n.counts.lookups.Load() == before {
			t.Error("a hungry torrent waits")
		}
		time.Sleep(3 * time.Hour)
		if got := n.counts.lookups.Load(); got < 10_000 {
			t.Errorf("%d look-ups in three hours", got)
		}
	})
}
