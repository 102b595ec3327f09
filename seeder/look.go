package seeder

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"shoal/internal/disk"
	"shoal/swarm"
)

// Looks at files that nobody asks for: so often at most, and so many each time.
const (
	lookEvery = time.Second
	lookFiles = 256
)

// Look compares some files of what is on offer with what they looked like when they were described, without reading
// them, so that a change is noticed though nobody asks for the content. Each call goes on where the last one ended;
// one that comes too early does nothing.
func (s *Seeder) Look(now time.Time) {
	s.looking.Lock()
	defer s.looking.Unlock()
	if now.Sub(s.looked) < lookEvery {
		return
	}
	s.looked = now
	contents := s.Contents()
	for left, seen := lookFiles, 0; left > 0 && seen < len(contents); left-- {
		c := contents[s.lookAt%len(contents)]
		gone := c.Gone()
		if errors.Is(gone, swarm.ErrChanged) {
			s.changed(c, gone) // a peer may have been the first to notice
		}
		if s.lookFile >= c.looks || gone != nil {
			s.lookAt, s.lookFile, seen = (s.lookAt+1)%len(contents), 0, seen+1
			continue
		}
		if err := c.look(s.lookFile); err != nil {
			s.changed(c, err)
		}
		s.lookFile++
	}
}

// lookAt compares a file with its stamp.
func lookAt(path string, link bool, want disk.Stamp) error {
	stat := os.Lstat
	if link {
		stat = os.Stat // the root may be a symlink
	}
	fi, err := stat(path)
	if err != nil {
		return fmt.Errorf("%w: %w", swarm.ErrChanged, err)
	}
	if !disk.StampOfInfo(fi).Equal(want) {
		return fmt.Errorf("%s: %w", filepath.Base(path), swarm.ErrChanged)
	}
	return nil
}
