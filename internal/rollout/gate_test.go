//go:build unix

package rollout

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shoal/internal/fleet"
	"shoal/internal/release"
)

func TestJudge(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at2 := 0.02
	policy := &release.Policy{Waves: []release.Wave{{Count: 1}, {Share: 0.1, Count: 1}, {Share: 1, Count: 1}}, Every: 3600, HaltAt: &at2, MinReports: 20}
	for _, tt := range []struct {
		name   string
		change func(*release.Steered)
		e      Evidence
		after  time.Duration
		want   Step
	}{
		{"nobody has reported", nil, Evidence{Expected: 1}, 2 * time.Hour, Wait},
		{"nobody is there", nil, Evidence{Expected: 0}, 2 * time.Hour, Wait},
		{"the only one is well", nil, Evidence{Good: 1, Expected: 1}, 2 * time.Hour, Advance},
		{"and it is too early", nil, Evidence{Good: 1, Expected: 1}, 59 * time.Minute, Wait},
		{"the only one is not well", nil, Evidence{Bad: 1, Expected: 1}, time.Second, Halt},
		{"the only one is silent", nil, Evidence{Open: 1, Missing: 1, Expected: 1}, time.Second, Halt},
		{"one of few is not well", nil, Evidence{Bad: 1, Good: 3, Expected: 30}, 2 * time.Hour, Wait},
		{"few are well", nil, Evidence{Good: 19, Expected: 30}, 2 * time.Hour, Wait},
		{"enough are well", nil, Evidence{Good: 20, Expected: -1}, 2 * time.Hour, Advance},
		{"one of fifty is allowed", nil, Evidence{Good: 49, Bad: 1, Expected: -1}, 2 * time.Hour, Advance},
		{"one of forty-nine is not", nil, Evidence{Good: 48, Bad: 1, Expected: -1}, time.Second, Halt},
		{"paused", func(s *release.Steered) { s.At.Paused = true }, Evidence{Good: 20, Bad: 20, Expected: -1}, 2 * time.Hour, Wait},
		{"halted", func(s *release.Steered) { s.At.Halted = true }, Evidence{Good: 20, Bad: 20, Expected: -1}, 2 * time.Hour, Wait},
		{"the last wave", func(s *release.Steered) { s.At.Wave = 2 }, Evidence{Good: 20, Expected: -1}, 9 * time.Hour, Wait},
		{"the last wave goes wrong", func(s *release.Steered) { s.At.Wave = 2 }, Evidence{Good: 20, Bad: 1, Expected: -1}, 9 * time.Hour, Halt},
		{"it was only just steered", func(s *release.Steered) { s.At.Wave, s.At.At = 1, begin.Add(5*time.Hour) }, Evidence{Good: 20, Expected: -1}, 5*time.Hour + time.Minute, Wait},
		{"by hand", func(s *release.Steered) { p := *policy; p.Every = 0; s.Channel.Rollout = &p }, Evidence{Good: 20, Expected: -1}, 9 * time.Hour, Wait},
		{"no share is said", func(s *release.Steered) { p := *policy; p.HaltAt = nil; s.Channel.Rollout = &p }, Evidence{Bad: 20, Expected: -1}, time.Second, Wait},
		{"by time alone", func(s *release.Steered) { p := *policy; p.HaltAt, p.MinReports = nil, 0; s.Channel.Rollout = &p }, Evidence{Expected: -1}, time.Hour, Advance},
	} {
		s := steered(0, policy)
		if tt.change != nil {
			tt.change(s)
		}
		got, why := judge(s.Channel, s.At, tt.e, begin.Add(tt.after))
		if got != tt.want || (why != "") != (tt.want == Halt) {
			t.Errorf("%s: %d (%s), want %d", tt.name, got, why, tt.want)
		}
	}
}

// A rollout of a version that does harm is halted by the first machine's report, or by its silence; what happened to the version before does not count.
func TestSteer(t *testing.T) {
	f := newFleetOf(t, openBolt(t, filepath.Join(t.TempDir(), "state.db")))
	f.enroll(1, 2, 3)
	share := 0.0
	s := steered(0, &release.Policy{Waves: []release.Wave{{Count: 1}, {Share: 1, Count: 1}}, Every: 60, HaltAt: &share, MinReports: 20, Rollback: true})
	list := []*release.Steered{s}
	steer := func() {
		t.Helper()
		err := f.r.Steer(t.Context(), list, func(_, _ string, change func(*release.Rollout)) error { change(s.At); return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	f.say(2, stateRolledBack, "2") // with an earlier rollout
	f.say(1, stateCurrent, "1")
	f.say(3, stateCurrent, "1")
	steer()
	if s.At.Halted || s.At.Wave != 0 {
		t.Fatalf("at its begin: %+v", s.At)
	}
	f.say(1, stateSwitched, "2")
	f.now = f.now.Add(61 * time.Second)
	f.say(1, stateSwitched, "2", func(r *fleet.Report) { r.Again = true })
	for range 2 * maxBatch { // what says nothing new is written within a second
		if f.record(1).Sequence == 4 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	f.say(2, stateCurrent, "1")
	f.say(3, stateCurrent, "1")
	steer()
	if s.At.Halted || s.At.Wave != 0 {
		t.Fatalf("while the first is about it: %+v", s.At)
	}
	f.say(1, stateConfirmed, "2")
	steer()
	if s.At.Wave != 1 {
		t.Fatalf("when the first is well: %+v", s.At)
	}
	f.say(2, stateSwitched, "2")
	f.say(3, stateConfirmed, "2")
	f.now = f.now.Add(76 * time.Second) // it was to report within 60, and has a quarter more
	f.say(1, stateCurrent, "2")
	f.say(3, stateCurrent, "2")
	e, err := f.r.Evidence(t.Context(), s)
	if err != nil || e.Good != 2 || e.Bad != 0 || e.Open != 1 || e.Missing != 1 {
		t.Errorf("%+v, %v", e, err)
	}
	steer()
	if !s.At.Halted || !s.At.Back || !strings.Contains(s.At.Why, "not heard of") {
		t.Errorf("when one is silent: %+v", s.At)
	}
}
