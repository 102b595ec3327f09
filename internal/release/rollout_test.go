package release

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// startRollout publishes app@version, and starts a rollout in three waves an hour apart.
func (r *testRepo) startRollout(version string) {
	r.t.Helper()
	r.publish("app", version, "")
	r.update(func(tx *Tx) error {
		_, err := tx.Start("app", version, "stable", &Policy{Waves: []Wave{{Groups: []string{"canary"}}, {Share: 0.1}, {Share: 1}}, Every: 3600})
		return err
	})
}

func (r *testRepo) steer(change func(*Rollout)) error {
	r.t.Helper()
	_, err := r.Update(r.t.Context(), func(tx *Tx) error {
		_, err := tx.Steer("app", "stable", change)
		return err
	})
	return err
}

func advance(r *Rollout) { r.Wave++ }

func TestRollout(t *testing.T) {
	r := newRepo(t, InitConfig{})
	r.publish("app", "1", "stable")
	if err := r.steer(advance); !errors.Is(err, ErrSteered) {
		t.Errorf("steering without a rollout: %v", err)
	}
	r.startRollout("2")
	c := r.client()
	at := func(wave int) *Found {
		t.Helper()
		f := c.gets(r.Files(), "app:stable", "2")
		if got := f.Channel.Reached(f.Rollout, r.clock.now()); got != wave {
			t.Fatalf("wave %d, want %d", got, wave)
		}
		return f
	}
	if f := at(0); f.Rollout != nil || len(f.Channel.Rollout.Waves) != 3 || !slices.Equal(f.Channel.Previous, []string{"1"}) {
		t.Errorf("as it begins: %+v of %+v", f.Rollout, f.Channel)
	}
	if err := r.steer(advance); !errors.Is(err, ErrSteered) || !strings.Contains(err.Error(), "opens at") {
		t.Errorf("a wave too early: %v", err)
	}
	r.clock.at = r.clock.at.Add(time.Hour)
	if err := r.steer(advance); err != nil {
		t.Fatal(err)
	}
	at(1)
	if err := r.steer(func(r *Rollout) { r.Wave = 0 }); !errors.Is(err, ErrSteered) {
		t.Errorf("a wave back: %v", err)
	}
	if err := r.steer(func(r *Rollout) { r.Paused, r.Why = true, "a look" }); err != nil {
		t.Fatal(err)
	}
	if f := at(1); !f.Rollout.Paused || f.Rollout.Why != "a look" {
		t.Errorf("paused: %+v", f.Rollout)
	}
	r.clock.at = r.clock.at.Add(10 * time.Hour)
	if err := r.steer(advance); !errors.Is(err, ErrSteered) || !strings.Contains(err.Error(), "paused") {
		t.Errorf("a wave while it is paused: %v", err)
	}
	for _, change := range []func(*Rollout){func(r *Rollout) { r.Paused = false }, advance, func(r *Rollout) { r.Halted = true }} {
		if err := r.steer(change); err != nil {
			t.Fatal(err)
		}
	}
	if f := at(2); f.Rollout.Paused || !f.Rollout.Halted {
		t.Errorf("halted: %+v", f.Rollout)
	}
	if err := r.steer(func(r *Rollout) { r.Halted = false }); !errors.Is(err, ErrSteered) {
		t.Errorf("what was halted goes on: %v", err)
	}
	if freed, err := r.Sweep(t.Context()); err != nil {
		t.Fatal(freed, err)
	}
	at(2) // the rollout document is still there for a machine that comes now
	r.client().gets(r.Files(), "app:stable", "2")

	// The next rollout begins at its begin, and the end of one is for all.
	r.startRollout("3")
	if f := c.gets(r.Files(), "app:stable", "3"); f.Rollout != nil {
		t.Errorf("the next one: %+v", f.Rollout)
	}
	r.update(func(tx *Tx) error {
		changed, err := tx.Promote("app", "3", "stable")
		if !changed {
			t.Error("promoting what is rolled out changes nothing")
		}
		return err
	})
	if f := c.gets(r.Files(), "app:stable", "3"); f.Channel.Rollout != nil || f.Rollout != nil {
		t.Errorf("promoted: %+v", f.Channel)
	}
	if _, err := r.Update(t.Context(), func(tx *Tx) error { _, err := tx.Withdraw("app", "3", "bad"); return err }); err != nil {
		t.Fatal(err)
	}
	if f := c.gets(r.Files(), "app:stable", "1"); f.Channel.Rollout != nil { // 2 was halted
		t.Errorf("withdrawn: %+v, want the fallback for all machines", f.Channel)
	}
}

// Who has stolen the online keys can say what they like about a rollout: machines go no further than the app's key allows.
func TestStolenOnlineKeysStayWithinThePolicy(t *testing.T) {
	r := newRepo(t, InitConfig{})
	r.startRollout("2")
	f := r.client().gets(r.Files(), "app:stable", "2")
	for _, tt := range []struct {
		wave  int
		after time.Duration
		want  int
	}{{31, 0, 0}, {31, 59 * time.Minute, 0}, {31, time.Hour, 1}, {31, 2 * time.Hour, 2}, {31, 100 * time.Hour, 2}, {1, 100 * time.Hour, 1}} {
		if got := f.Channel.Reached(&Rollout{Wave: tt.wave}, f.Channel.At.Add(tt.after)); got != tt.want {
			t.Errorf("a document with wave %d, %v after the begin: %d, want %d", tt.wave, tt.after, got, tt.want)
		}
	}
}

func TestPolicyIsChecked(t *testing.T) {
	for name, p := range map[string]Policy{
		"no waves":           {},
		"too many":           {Waves: make([]Wave, maxWaves+1)},
		"an empty wave":      {Waves: []Wave{{}}},
		"more than all":      {Waves: []Wave{{Share: 1.1}}},
		"shares that shrink": {Waves: []Wave{{Share: 0.5}, {Share: 0.1}}},
		"a negative time":    {Waves: []Wave{{Share: 1}}, Every: -1},
		"centuries":          {Waves: []Wave{{Share: 1}}, Every: 1 << 40},
		"a strange group":    {Waves: []Wave{{Groups: []string{"a b"}}}},
	} {
		if p.check() == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// A release whose rollout is halted is spread no more, unless another channel has it.
func TestHaltedIsNotSpread(t *testing.T) {
	r := newRepo(t, InitConfig{})
	r.publish("app", "1", "stable")
	r.startRollout("2")
	halted := func() (list []string) {
		t.Helper()
		live, err := r.Live(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range live {
			if l.Halted {
				list = append(list, l.Version)
			}
		}
		trust, err := r.client().trust(r.Files())
		if err != nil {
			t.Fatal(err)
		}
		seen, err := trust.App(t.Context(), "app")
		if err != nil {
			t.Fatal(err)
		}
		for _, rel := range seen.Releases {
			if rel.Halted != slices.Contains(list, rel.Version) {
				t.Errorf("machines see %s halted: %v, its origin %v", rel.Version, rel.Halted, list)
			}
		}
		return list
	}
	if got := halted(); got != nil {
		t.Errorf("as it begins: %v", got)
	}
	if err := r.steer(func(r *Rollout) { r.Halted = true }); err != nil {
		t.Fatal(err)
	}
	if got := halted(); !slices.Equal(got, []string{"2"}) {
		t.Errorf("halted: %v, want 2", got)
	}
	if err := r.steer(func(r *Rollout) { r.Back = true }); !errors.Is(err, ErrSteered) {
		t.Errorf("sent back without leave: %v", err)
	}
	r.update(func(tx *Tx) error { _, err := tx.Promote("app", "2", "beta"); return err })
	if got := halted(); got != nil {
		t.Errorf("with another channel: %v", got)
	}
}

// Machines are sent back when the app's key has allowed it, also once the rollout is halted.
func TestHaltedAndSentBack(t *testing.T) {
	r := newRepo(t, InitConfig{})
	r.publish("app", "1", "stable")
	r.publish("app", "2", "")
	r.update(func(tx *Tx) error {
		_, err := tx.Start("app", "2", "stable", &Policy{Waves: []Wave{{Count: 1}, {Share: 1, Count: 1}}, Rollback: true})
		return err
	})
	for _, change := range []func(*Rollout){func(r *Rollout) { r.Halted, r.Why = true, "loses data" }, func(r *Rollout) { r.Back = true }} {
		if err := r.steer(change); err != nil {
			t.Fatal(err)
		}
	}
	for what, change := range map[string]func(*Rollout){"resumed": func(r *Rollout) { r.Paused, r.Why = false, "" }, "paused": func(r *Rollout) { r.Paused = true }, "not sent back": func(r *Rollout) { r.Back = false }} {
		if err := r.steer(change); !errors.Is(err, ErrSteered) {
			t.Errorf("what was halted is %s: %v", what, err)
		}
	}
	if f := r.client().gets(r.Files(), "app:stable", "2"); !f.Rollout.Halted || !f.Rollout.Back || f.Rollout.Why != "loses data" {
		t.Errorf("%+v", f.Rollout)
	}
}
