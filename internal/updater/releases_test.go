package updater

import (
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"shoal/internal/deliver"
	"shoal/internal/release"
	"shoal/piece"
)

// publish publishes a version of an app with a rollout, and makes it the channel's.
func publish(t *testing.T, r *release.Repository, version string, policy *release.Policy) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app")
	if err := os.WriteFile(path, []byte(version), 0o644); err != nil {
		t.Fatal(err)
	}
	x, _, err := piece.Build(t.Context(), path, piece.BuildConfig{})
	if err != nil {
		t.Fatal(err)
	}
	metainfo, err := deliver.PackMetainfo(x)
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Update(t.Context(), func(tx *release.Tx) error {
		rel := release.Release{App: "app", Version: version, Platform: release.AnyPlatform, Artefacts: []release.Artefact{{Kind: "T", Name: x.Name, V2: hex.EncodeToString(x.V2[:]), V1: hex.EncodeToString(x.V1[:]), Bytes: x.Length}}}
		if _, err := tx.Add(rel, metainfo); err != nil {
			return err
		}
		_, err := tx.Start("app", version, "stable", policy)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A clock that is two years ahead finds everything expired, and changes nothing; one that is two years behind goes on, and opens no wave. When it is put right the
// machine goes on as if nothing had been.
func TestClockTwoYearsOff(t *testing.T) {
	t.Parallel()
	r, err := release.Init(t.Context(), filepath.Join(t.TempDir(), "repo"), release.InitConfig{}, release.Config{})
	if err != nil {
		t.Fatal(err)
	}
	waves := []release.Wave{{Groups: []string{"canary"}}, {Share: 1}}
	publish(t, r, "1", &release.Policy{Waves: waves})
	if _, err := r.Update(t.Context(), func(tx *release.Tx) error {
		_, err := tx.Steer("app", "stable", func(r *release.Rollout) { r.Wave = 1 })
		return err
	}); err != nil {
		t.Fatal(err)
	}
	clock := time.Now()
	s := &Releases{Source: deliver.Source{Kind: deliver.KindRelease, Release: deliver.Release{App: "app", Channel: "stable"}},
		Config: deliver.ReleaseConfig{Repo: r.Dir(), StateDir: t.TempDir(), Now: func() time.Time { return clock }}}
	check := func(wave int) {
		t.Helper()
		o, err := s.Check(t.Context(), Ask{Running: "0"})
		if err != nil || o.Version != "1" || o.Channel != "stable" || o.Rollout == nil || o.Rollout.Wave != wave {
			t.Fatalf("%+v (%v), want version 1 at wave %d", o, err, wave)
		}
	}
	check(1)
	clock = clock.AddDate(2, 0, 0)
	var refusal *release.Refusal
	if _, err := s.Check(t.Context(), Ask{}); !errors.As(err, &refusal) || refusal.Rule != release.RuleExpired {
		t.Errorf("two years ahead: %v, want everything expired", err)
	}
	clock = clock.AddDate(-4, 0, 0)
	check(0)
	clock = clock.AddDate(2, 0, 0)
	check(1)
}
