//go:build unix

package rollout

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"shoal/internal/fleet"
	"shoal/internal/release"
	"shoal/internal/swarmtest"
)

// eachStore runs a test with each kind of store. reopen opens the same one again, as another origin would, or as this one after its end.
func eachStore(t *testing.T, test func(t *testing.T, store Store, reopen func() Store)) {
	t.Run("bbolt", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "state.db")
		store := openBolt(t, path)
		test(t, store, func() Store {
			store.Close()
			store = openBolt(t, path)
			return store
		})
	})
	t.Run("postgres", func(t *testing.T) {
		s := swarmtest.StartPostgres(t)
		open := func() Store {
			store, err := OpenPostgres(t.Context(), s.URL)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { store.Close() })
			return store
		}
		test(t, open(), open)
		t.Run("killed", func(t *testing.T) { testSlotsAreLinearizable(t, s) })
	})
}

// The one contract of stores, and of all that is kept in them.
func TestStores(t *testing.T) {
	eachStore(t, func(t *testing.T, store Store, reopen func() Store) {
		t.Run("transactions", func(t *testing.T) { testTransactions(t, store) })
		t.Run("counters", func(t *testing.T) { testOneAtATime(t, store) })
		store = reopen()
		t.Run("slots", func(t *testing.T) { testSlotsOf(t, store) })
		t.Run("reports", func(t *testing.T) { testReports(t, store) })
		t.Run("waves", func(t *testing.T) { testCountedWave(t, store) })
		t.Run("durable", func(t *testing.T) {
			err := reopen().View(t.Context(), func(tx Tx) error {
				if v, err := tx.Get("b", "a/1"); err != nil || string(v) != "one" {
					return fmt.Errorf("%q, %v", v, err)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	})
}

func testTransactions(t *testing.T, store Store) {
	ctx := t.Context()
	err := store.Update(ctx, func(tx Tx) error {
		return errors.Join(tx.Put("b", "a/1", []byte("one")), tx.Put("b", "a/2", []byte("two")), tx.Put("b", "a0", nil), tx.Put("c", "a/3", []byte("x")), tx.Delete("b", "none"))
	})
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	err = store.Update(ctx, func(tx Tx) error {
		n, err := tx.Next("b")
		return errors.Join(broken, err, tx.Put("b", "a/1", fmt.Append(nil, n)), tx.Delete("b", "a/2"))
	})
	if !errors.Is(err, broken) {
		t.Errorf("a function that breaks: %v", err)
	}
	err = store.View(ctx, func(tx Tx) error {
		var got []string
		err := tx.Each("b", "a/", func(key string, v []byte) error {
			got = append(got, key+"="+string(v))
			return nil
		})
		if text := strings.Join(got, " "); text != "a/1=one a/2=two" {
			t.Errorf("below a/: %s", text)
		}
		if v, err := tx.Get("none", "none"); v != nil || err != nil {
			t.Errorf("what is not there: %q, %v", v, err)
		}
		if off := time.Since(tx.Now()).Abs(); off > time.Minute {
			t.Errorf("the clock is off by %v", off)
		}
		return errors.Join(err, tx.Each("none", "", func(string, []byte) error { return broken }))
	})
	if err != nil {
		t.Error(err)
	}
}

// Transactions that write are one at a time: none is lost.
func testOneAtATime(t *testing.T, store Store) {
	const writers, each = 4, 10
	var g sync.WaitGroup
	for range writers {
		g.Go(func() {
			for range each {
				err := store.Update(t.Context(), func(tx Tx) error {
					var n int
					if _, err := get(tx, "count", "n", &n); err != nil {
						return err
					}
					return put(tx, "count", "n", n+1)
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	g.Wait()
	var n int
	var last uint64
	err := store.Update(t.Context(), func(tx Tx) (err error) {
		if _, err = get(tx, "count", "n", &n); err != nil {
			return err
		}
		last, err = tx.Next("count")
		return err
	})
	if err != nil || n != writers*each || last != 1 {
		t.Errorf("%d, number %d, %v", n, last, err)
	}
}

func testSlotsOf(t *testing.T, store Store) {
	s := NewSlots(store, SlotsConfig{PerGroup: 1})
	a, err := s.Acquire(t.Context(), "g", "a", nil)
	if err != nil || a.Token != 1 {
		t.Fatalf("%+v, %v", a, err)
	}
	if _, err := s.Acquire(t.Context(), "g", "b", nil); !errors.Is(err, ErrTaken) {
		t.Errorf("a second: %v", err)
	}
	if all, err := s.Holders(t.Context()); err != nil || len(all) != 1 || len(all["g"]) != 1 || all["g"][0].ID != "a" {
		t.Errorf("holders: %+v, %v", all, err)
	}
	if err := s.Release(t.Context(), "g", "a"); err != nil {
		t.Fatal(err)
	}
	if b, err := s.Acquire(t.Context(), "g", "b", nil); err != nil || b.Token != 2 {
		t.Errorf("then %+v, %v", b, err)
	}
}

// machineID is an id for a machine of a test.
func machineID(n int) string { return fmt.Sprintf("%032x", n) }

// fleetOf has reports taken and written one after the other.
type fleetOf struct {
	t   *testing.T
	r   *Reports
	now time.Time
	seq map[string]uint64
}

func newFleetOf(t *testing.T, store Store) *fleetOf {
	f := &fleetOf{t: t, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), seq: map[string]uint64{}}
	f.r = NewReports(store, ReportsConfig{Now: func() time.Time { return f.now }})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { f.r.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return f
}

// enroll makes the reports of machines count; key n is that of machine n.
func (f *fleetOf) enroll(machines ...int) {
	f.t.Helper()
	token, _, err := f.r.Token(f.t.Context(), time.Hour)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, n := range machines {
		if err := f.r.Enroll(f.t.Context(), fmt.Sprint("key", n), &fleet.Enrollment{Token: token, Machine: machineID(n)}); err != nil {
			f.t.Fatal(err)
		}
	}
}

// say has a machine report.
func (f *fleetOf) say(n int, state, version string, more ...func(*fleet.Report)) *fleet.Answer {
	f.t.Helper()
	key := fmt.Sprint("key", n)
	f.seq[key]++
	r := &fleet.Report{Format: 1, Sequence: f.seq[key], Every: 60, Machine: machineID(n), App: "app", Channel: "stable", Platform: "any", State: state, Version: version}
	for _, m := range more {
		m(r)
	}
	a, err := f.r.Take(f.t.Context(), r, key, fmt.Sprintf("%s-%d", key, r.Sequence))
	if err != nil {
		f.t.Fatal(err)
	}
	return a
}

// record is what is known of a machine.
func (f *fleetOf) record(n int) (found *Record) {
	f.t.Helper()
	err := f.r.Each(f.t.Context(), "app", []string{machineID(n)}, func(r *Record, _ time.Time) error { found = r; return nil })
	if err != nil || found == nil {
		f.t.Fatalf("machine %d: %v", n, err)
	}
	return found
}

func testReports(t *testing.T, store Store) {
	f := newFleetOf(t, store)
	f.enroll(1, 2)
	if err := f.r.Enroll(t.Context(), "x", &fleet.Enrollment{Token: "wrong", Machine: machineID(3)}); !errors.Is(err, ErrToken) {
		t.Errorf("a wrong token: %v", err)
	}
	token, _, err := f.r.Token(t.Context(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	f.now = f.now.Add(61 * time.Minute)
	if err := f.r.Enroll(t.Context(), "x", &fleet.Enrollment{Token: token, Machine: machineID(3)}); !errors.Is(err, ErrToken) {
		t.Errorf("a token that is over: %v", err)
	}
	if a := f.say(1, stateStaged, "2", func(r *fleet.Report) { r.From = fleet.From{LAN: 5, Origin: 1} }); !a.Counted {
		t.Error("an enrolled machine does not count")
	}
	f.say(1, stateSwitched, "2")
	f.say(1, stateRolledBack, "2", func(r *fleet.Report) { r.Running, r.Why = "1", "it is not well" })
	got := f.record(1)
	if got.Outcome != Bad || got.Tried != "2" || got.Running != "1" || got.LastError != "it is not well" || got.Total != (fleet.From{LAN: 5, Origin: 1}) || got.Cloned || got.Key != "key1" {
		t.Errorf("%+v", got)
	}
	// It is asked to try again, until it does.
	if n, err := f.r.Retry(t.Context(), "app", []string{machineID(1)[:32]}); n != 1 || err != nil {
		t.Errorf("%d machines, %v", n, err)
	}
	if a := f.say(1, stateHeld, "2", func(r *fleet.Report) { r.Reason = reasonBad }); len(a.Retry) != 1 || a.Retry[0] != "2" {
		t.Errorf("it is not asked: %+v", a)
	}
	f.say(1, stateSwitched, "2")
	if a := f.say(1, stateConfirmed, "2"); len(a.Retry) != 0 {
		t.Errorf("it is asked again: %+v", a)
	}
	if got := f.record(1); got.Outcome != Good || got.LastError != "it is not well" || got.ErrorOf != "2" {
		t.Errorf("then %+v, want it good, and what was wrong with 2", got)
	}
	f.say(1, stateError, "2", func(r *fleet.Report) { r.Why = "nobody answers" })
	if got := f.record(1); got.LastError != "nobody answers" || got.ErrorOf != "" {
		t.Errorf("then %+v, want an error of no version", got)
	}
	// Who signs with a key that is not enrolled is anonymous, as is who says that it is another.
	if a := f.say(9, stateConfirmed, "2"); a.Counted {
		t.Error("an unknown key counts")
	}
	if a := f.say(2, stateConfirmed, "2", func(r *fleet.Report) { r.Machine = machineID(9) }); a.Counted {
		t.Error("a machine that calls itself another counts")
	}
	// Two machines with one key: the second goes on from where the first was.
	f.say(2, stateCurrent, "1")
	if f.record(2).Cloned {
		t.Error("one machine is taken for two")
	}
	f.seq["key2"]--
	f.r.Take(t.Context(), &fleet.Report{Format: 1, Sequence: f.seq["key2"], Every: 60, Machine: machineID(2), App: "app", Channel: "stable", State: stateConfirmed, Version: "2"}, "key2", "other")
	if !f.record(2).Cloned {
		t.Error("two machines with one key are not noticed")
	}
	// And two keys of one machine's id.
	f.enroll(4)
	token, _, err = f.r.Token(t.Context(), time.Hour)
	if err == nil {
		err = f.r.Enroll(t.Context(), "key5", &fleet.Enrollment{Token: token, Machine: machineID(4)})
	}
	if err != nil {
		t.Fatal(err)
	}
	f.say(4, stateConfirmed, "2")
	if !f.record(4).Cloned {
		t.Error("two keys of one machine's id are not noticed")
	}
	f.now = f.now.Add(4 * time.Minute)
	if got := f.record(1); !got.Stale(f.now) {
		t.Error("a machine that is silent is not stale")
	}
}

// steered is a rollout of version 2 that is at a wave.
func steered(wave int, p *release.Policy) *release.Steered {
	c := &release.Channel{Format: 1, App: "app", Channel: "stable", Version: "2", Previous: []string{"1"}, At: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Rollout: p}
	return &release.Steered{Channel: c, At: &release.Rollout{Of: "of", Wave: wave, At: c.At}, V2: map[string]string{"any": "content"}}
}

// A wave of so many machines has no more, whoever asks, and its slots are granted with it.
func testCountedWave(t *testing.T, store Store) {
	var rollouts Rollouts
	rollouts.Set([]*release.Steered{steered(0, &release.Policy{Waves: []release.Wave{{Count: 3}, {Share: 1, Count: 3}}})})
	claim := &Claim{App: "app", Channel: "stable", Version: "2", V2: "content"}
	var g sync.WaitGroup
	var mu sync.Mutex
	in := map[string]uint64{}
	for n := range 12 {
		g.Go(func() {
			s := NewSlots(store, SlotsConfig{Rollouts: &rollouts})
			h, err := s.Acquire(t.Context(), "waves", machineID(n), claim)
			if err == nil {
				mu.Lock()
				in[h.ID] = h.Token
				mu.Unlock()
			} else if !errors.Is(err, ErrWave) {
				t.Error(err)
			}
		})
	}
	g.Wait()
	if len(in) != 3 {
		t.Errorf("%d machines are in a wave of 3", len(in))
	}
	s := NewSlots(store, SlotsConfig{Rollouts: &rollouts})
	for id, token := range in { // again is no other
		if h, err := s.Acquire(t.Context(), "waves", id, claim); err != nil || h.Token != token {
			t.Errorf("%s again: %+v, %v", id, h, err)
		}
	}
	for what, c := range map[string]Claim{"another version": {App: "app", Channel: "stable", Version: "1", V2: "content"}, "another content": {App: "app", Channel: "stable", Version: "2", V2: "x"}} {
		if _, err := s.Acquire(t.Context(), "waves", machineID(99), &c); !errors.Is(err, ErrWave) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if all, err := s.Holders(t.Context()); err != nil || len(all["waves"]) != 3 {
		t.Errorf("holders %+v, %v", all, err)
	}
	next := steered(1, &release.Policy{Waves: []release.Wave{{Count: 3}, {Share: 1, Count: 3}}})
	rollouts.Set([]*release.Steered{next})
	if _, err := s.Acquire(t.Context(), "waves", machineID(99), claim); err != nil {
		t.Errorf("in the wave of all: %v", err)
	}
	next.At.Halted = true
	if _, err := s.Acquire(t.Context(), "waves", machineID(98), claim); !errors.Is(err, ErrWave) {
		t.Errorf("halted: %v", err)
	}
}
