package daemon

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"shoal/internal/release"
	"shoal/seeder"
)

// While a server runs nobody need sign anything: each day it says anew that the state is the newest, so that it never comes near to its end.
func TestTimestampIsSignedDaily(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := release.Init(t.Context(), filepath.Join(t.TempDir(), "repo"), release.InitConfig{}, release.Config{})
		if err != nil {
			t.Fatal(err)
		}
		s := &Server{cfg: ServeConfig{Repository: r, StateDir: t.TempDir(), Log: slog.New(slog.DiscardHandler)}, offered: make(chan error, 1)}
		s.seeder = seeder.New(seeder.Config{StateDir: s.cfg.StateDir})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.keepRepository(ctx) }()
		timestamp := func() *metadata.Metadata[metadata.TimestampType] {
			t.Helper()
			b, err := os.ReadFile(filepath.Join(r.Public(), "metadata", "timestamp.json"))
			if err != nil {
				t.Fatal(err)
			}
			m, err := metadata.Timestamp().FromBytes(b)
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		first := timestamp()
		for day := range 2 {
			time.Sleep(24*time.Hour + time.Minute)
			now := timestamp()
			if left := time.Until(now.Signed.Expires); left < 13*24*time.Hour-2*time.Hour {
				t.Errorf("after day %d the timestamp holds for %v", day+1, left)
			}
			if day == 1 && (now.Signed.Version < first.Signed.Version+1 || now.Signed.Version > first.Signed.Version+3) {
				t.Errorf("version %d after two days, and %d before: want it to be signed daily", now.Signed.Version, first.Signed.Version)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
