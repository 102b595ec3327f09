package release

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// What a channel goes back to is the newest version that had come to all machines, was not halted, and is still there.
func TestFallback(t *testing.T) {
	t.Parallel()
	start := func(version string, waves ...Wave) func(*testRepo) {
		return func(r *testRepo) {
			r.publish("app", version, "")
			r.update(func(tx *Tx) error {
				_, err := tx.Start("app", version, "stable", &Policy{Waves: waves, Rollback: true})
				return err
			})
		}
	}
	promote := func(version string) func(*testRepo) {
		return func(r *testRepo) { r.publish("app", version, "stable") }
	}
	steer := func(change func(*Rollout)) func(*testRepo) {
		return func(r *testRepo) {
			if err := r.steer(change); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	withdraw := func(version string) func(*testRepo) {
		return func(r *testRepo) {
			r.update(func(tx *Tx) error { _, err := tx.Withdraw("app", version, "bad"); return err })
		}
	}
	halt, back := steer(func(r *Rollout) { r.Halted = true }), steer(func(r *Rollout) { r.Halted, r.Back = true, true })
	some, all := Wave{Share: 0.1}, Wave{Share: 1}
	for name, tt := range map[string]struct {
		steps []func(*testRepo)
		want  []string
	}{
		"promoted":                  {[]func(*testRepo){promote("1"), promote("2"), promote("3")}, []string{"2", "1"}},
		"halted":                    {[]func(*testRepo){promote("1"), start("2", some, all), halt, start("3", some, all)}, []string{"1"}},
		"halted and sent back":      {[]func(*testRepo){promote("1"), start("2", some, all), back, start("3", some, all), back, start("4", all)}, []string{"1"}},
		"halted at its last wave":   {[]func(*testRepo){promote("1"), start("2", some, all), steer(advance), halt, promote("3")}, []string{"1"}},
		"halted, and then promoted": {[]func(*testRepo){promote("1"), start("2", some, all), halt, promote("2"), promote("3")}, []string{"2", "1"}},
		"come to its first wave":    {[]func(*testRepo){promote("1"), start("2", some, all), promote("3")}, []string{"1"}},
		"come to all":               {[]func(*testRepo){promote("1"), start("2", some, all), steer(advance), start("3", some, all)}, []string{"2", "1"}},
		"in waves that end earlier": {[]func(*testRepo){promote("1"), start("2", some, Wave{Share: 0.5}), steer(advance), promote("3")}, []string{"1"}},
		"begun anew":                {[]func(*testRepo){promote("1"), start("2", some, all), halt, start("2", some, Wave{Share: 0.5}, all), promote("3")}, []string{"1"}},
		"the first, and halted":     {[]func(*testRepo){start("1", some, all), halt, start("2", some, all)}, nil},
		"withdrawn":                 {[]func(*testRepo){promote("1"), promote("2"), start("3", some, all), withdraw("2"), promote("4")}, []string{"1"}},
		"gone back to":              {[]func(*testRepo){promote("1"), promote("2"), promote("1"), start("3", some, all)}, []string{"1", "2"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRepo(t, InitConfig{})
			for _, step := range tt.steps {
				step(r)
				r.clock.at = r.clock.at.Add(time.Minute)
			}
			var has string
			r.update(func(tx *Tx) error {
				c, err := tx.Channel("app", "stable")
				if err == nil && !slices.Equal(c.Previous, tt.want) {
					t.Errorf("%s goes back to %q, want %q", c.Version, c.Previous, tt.want)
				}
				has = c.Version
				return err
			})
			if len(tt.want) > 0 {
				withdraw(has)(r)
				r.client().gets(r.Files(), "app:stable", tt.want[0])
				return
			}
			if _, err := r.Update(t.Context(), func(tx *Tx) error { _, err := tx.Withdraw("app", has, "bad"); return err }); !errors.Is(err, ErrInUse) {
				t.Errorf("withdrawing what has nothing before it: %v, want ErrInUse", err)
			}
			if err := r.steer(func(r *Rollout) { r.Halted, r.Back = true, true }); !errors.Is(err, ErrSteered) {
				t.Errorf("sent back to nothing: %v, want ErrSteered", err)
			}
		})
	}
}

// That an old version is withdrawn or pruned does not have a rollout begin anew: what was halted would go on.
func TestHaltedStaysSoWhenAnotherGoes(t *testing.T) {
	t.Parallel()
	r := newRepo(t, InitConfig{})
	for _, version := range []string{"1", "2", "3"} {
		r.publish("app", version, "stable")
		r.clock.at = r.clock.at.Add(time.Minute)
	}
	r.startRollout("4")
	if err := r.steer(func(r *Rollout) { r.Halted = true }); err != nil {
		t.Fatal(err)
	}
	r.update(func(tx *Tx) error { _, err := tx.Withdraw("app", "3", "bad"); return err })
	r.update(func(tx *Tx) error {
		gone, err := tx.Prune("app", 0, nil)
		var versions []string
		for _, g := range gone {
			versions = append(versions, g.Version)
		}
		slices.Sort(versions)
		if !slices.Equal(versions, []string{"1", "3"}) {
			t.Errorf("pruned %q, want all but 4, which the channel has, and 2, which it would go back to", versions)
		}
		return err
	})
	if f := r.client().gets(r.Files(), "app:stable", "4"); f.Rollout == nil || !f.Rollout.Halted {
		t.Errorf("after that %+v, want it halted", f.Rollout)
	}
	r.update(func(tx *Tx) error { _, err := tx.Withdraw("app", "4", "bad"); return err })
	r.client().gets(r.Files(), "app:stable", "2")
}
