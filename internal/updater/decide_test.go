package updater

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"shoal/internal/release"
	"shoal/internal/schedule"
)

func TestDecide(t *testing.T) {
	saturday := time.Date(2026, 3, 7, 3, 0, 0, 0, time.UTC)
	monday := saturday.Add(48 * time.Hour)
	window, err := schedule.ParseWindows("Sat,Sun 02:00-05:00")
	if err != nil {
		t.Fatal(err)
	}
	waves := func(r Rollout) *Rollout {
		r.Waves = []release.Wave{{Groups: []string{"canary"}}, {Share: 1}}
		return &r
	}
	for _, tt := range []struct {
		name   string
		s      Situation
		want   Action
		reason Reason
		until  time.Time
	}{
		{"in place", Situation{Running: "2"}, Stay, "", time.Time{}},
		{"in place, and bad before", Situation{Running: "2", Bad: []string{"2"}}, Stay, "", time.Time{}},
		{"in place, outside of the window", Situation{Running: "2", Now: monday, Window: window}, Stay, "", time.Time{}},
		{"another", Situation{Running: "1"}, Install, "", time.Time{}},
		{"the first", Situation{}, Install, "", time.Time{}},
		{"an older one: the channel decides", Situation{Running: "3"}, Install, "", time.Time{}},
		{"bad here", Situation{Running: "1", Bad: []string{"0", "2"}}, Hold, HeldBad, time.Time{}},
		{"in the window", Situation{Now: saturday, Window: window}, Install, "", time.Time{}},
		{"outside", Situation{Now: monday, Since: monday, Window: window}, Hold, HeldWindow, saturday.Add(7*24*time.Hour - time.Hour)},
		{"outside, deferred for a while", Situation{Now: monday, Since: monday.Add(-71 * time.Hour), Window: window, MaxDefer: 72 * time.Hour}, Hold, HeldWindow, monday.Add(time.Hour)},
		{"outside, deferred for too long", Situation{Now: monday, Since: monday.Add(-72 * time.Hour), Window: window, MaxDefer: 72 * time.Hour}, Install, "", time.Time{}},
		{"the policy hook says no", Situation{Now: monday, Since: monday, Refused: "on battery"}, Hold, HeldPolicy, time.Time{}},
		{"and for too long", Situation{Now: monday, Since: monday.Add(-time.Hour), MaxDefer: time.Hour, Refused: "on battery"}, Install, "", time.Time{}},
		{"bad is bad for ever", Situation{Now: monday, Since: monday.Add(-time.Hour), MaxDefer: time.Minute, Bad: []string{"2"}}, Hold, HeldBad, time.Time{}},
		// A clock that is two years off neither waits for years nor forgets that it has waited.
		{"the clock was put back by two years", Situation{Now: monday, Since: monday.AddDate(2, 0, 0), Window: window, MaxDefer: time.Hour}, Hold, HeldWindow, monday.Add(time.Hour)},
		{"and forward", Situation{Now: monday.AddDate(2, 0, 0), Since: monday, Window: window, MaxDefer: time.Hour}, Install, "", time.Time{}},
		{"halted", Situation{Offer: &Offer{Rollout: waves(Rollout{Wave: 1, Halted: true, Paused: true})}}, Hold, HeldHalted, time.Time{}},
		{"paused", Situation{Offer: &Offer{Rollout: waves(Rollout{Wave: 1, Paused: true})}}, Hold, HeldPaused, time.Time{}},
		{"others first", Situation{Offer: &Offer{Rollout: waves(Rollout{})}, Groups: []string{"office"}}, Hold, HeldWave, time.Time{}},
		{"its group first", Situation{Offer: &Offer{Rollout: waves(Rollout{})}, Groups: []string{"office", "canary"}}, Install, "", time.Time{}},
		{"everybody", Situation{Offer: &Offer{Rollout: waves(Rollout{Wave: 1})}}, Install, "", time.Time{}},
		{"the fleet's no outlasts the owner's patience", Situation{Offer: &Offer{Rollout: waves(Rollout{})}, Now: monday, Since: saturday, MaxDefer: time.Hour}, Hold, HeldWave, time.Time{}},
		{"a rollout without waves", Situation{Offer: &Offer{Rollout: &Rollout{Wave: 5}}}, Hold, HeldWave, time.Time{}},
	} {
		if tt.s.Offer == nil {
			tt.s.Offer = &Offer{}
		}
		tt.s.Offer.Version = "2"
		d := decide(tt.s)
		if d.Action != tt.want || d.Reason != tt.reason || !d.Until.Equal(tt.until) || (d.Why == "") != (d.Action != Hold) {
			t.Errorf("%s: %+v, want %d, %q, until %v", tt.name, d, tt.want, tt.reason, tt.until)
		}
	}
}

// Who is in a wave is in all that follow, and a wave of a tenth has about a tenth.
func TestWavesOnlyGrow(t *testing.T) {
	r := Rollout{Waves: []release.Wave{{Share: 0.01}, {Share: 0.1}, {Share: 0.5}, {Share: 1}}}
	counts := make([]int, len(r.Waves))
	const machines = 20_000
	for n := range machines {
		in := false
		for r.Wave = range r.Waves {
			now := r.Reached(fmt.Sprint("machine ", n), nil, "release")
			if in && !now {
				t.Fatalf("machine %d is in before wave %d, and not in it", n, r.Wave)
			}
			if in = now; in {
				counts[r.Wave]++
			}
		}
	}
	for i, w := range r.Waves {
		// Four standard deviations of a binomial distribution are 57 at a hundredth, and 283 at a half.
		if want := w.Share * machines; float64(counts[i]) < want-300 || float64(counts[i]) > want+300 {
			t.Errorf("wave %d reaches %d of %d machines, want about %.0f", i, counts[i], machines, want)
		}
	}
	if release.Place("a", "x") == release.Place("a", "y") {
		t.Error("a machine has the same place in each rollout")
	}
}

func TestPause(t *testing.T) {
	now := time.Date(2026, 3, 7, 3, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name     string
		failures int
		until    time.Time
		least    time.Duration
		most     time.Duration
	}{
		{"as usual", 0, time.Time{}, 12 * time.Minute, 18 * time.Minute},
		{"the first failure", 1, time.Time{}, 48 * time.Second, 72 * time.Second},
		{"the third", 3, time.Time{}, 192 * time.Second, 288 * time.Second},
		{"the hundredth", 100, time.Time{}, 48 * time.Minute, 72 * time.Minute},
		{"the window opens soon", 0, now.Add(5 * time.Minute), 5 * time.Minute, 7 * time.Minute},
		{"the window opens much later", 0, now.Add(5 * time.Hour), 12 * time.Minute, 18 * time.Minute},
		{"it should have", 0, now.Add(-time.Hour), 0, 2 * time.Minute},
	} {
		rapid.Check(t, func(rt *rapid.T) {
			got := pause(15*time.Minute, tt.failures, now, tt.until, rapid.Float64Range(0, 1).Draw(rt, "chance"))
			if got < tt.least || got > tt.most {
				rt.Fatalf("%s: %s, want %s to %s", tt.name, got, tt.least, tt.most)
			}
		})
	}
}
