package seeder

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"shoal/internal/release"
	"shoal/piece"
)

// OfferState writes the state of a repository, which machines need that cannot reach its origin, and offers it to the swarm in place of the one before.
// It lies in the state directory under state/VERSION, by the version of the timestamp that it has.
func (s *Seeder) OfferState(ctx context.Context, r *release.Repository) (c *Content, version int64, err error) {
	dir := filepath.Join(s.cfg.StateDir, "state")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, 0, err
	}
	f, err := os.CreateTemp(dir, ".new-")
	if err != nil {
		return nil, 0, err
	}
	defer os.Remove(f.Name())
	version, err = r.WriteState(ctx, f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, 0, err
	}
	path := filepath.Join(dir, fmt.Sprint(version))
	s.mu.Lock()
	old := s.state
	s.mu.Unlock()
	if old != nil && old.Path == path {
		return old, version, nil
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return nil, 0, err
	}
	// Hybrid, since BEP 46 points with a v1 hash; one file needs no padding.
	t, _, err := piece.Build(ctx, path, piece.BuildConfig{Name: r.ID() + ".bundle", Format: piece.Hybrid})
	if err != nil {
		return nil, 0, err
	}
	rec := record{Path: path}
	if err := rec.look(t); err != nil {
		return nil, 0, err
	}
	if err := s.keep(t, rec, nil); err != nil {
		return nil, 0, err
	}
	if c, err = s.offer(t, rec, false, false, nil); err != nil {
		return nil, 0, err
	}
	s.mu.Lock()
	s.state = c
	s.mu.Unlock()
	if old != nil {
		s.remove(old)
		s.forget(old)
	}
	return c, version, s.tidyStates(path)
}

// forget removes what is kept of a description.
func (s *Seeder) forget(c *Content) {
	for _, path := range []string{s.file(c.Key(), "torrent"), s.file(c.Key(), "leaves"), s.recordFile(c.Path)} {
		os.Remove(path) // nothing else has it; left over it would do no harm
	}
}

// tidyStates removes the files of states before, those of runs before as well.
func (s *Seeder) tidyStates(keep string) error {
	old, err := filepath.Glob(filepath.Join(filepath.Dir(keep), "[0-9]*"))
	if err != nil {
		return err
	}
	for _, path := range old {
		if path != keep {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	return nil
}
