package swarm

import (
	"fmt"

	"shoal/internal/disk"
)

// When what was written is made to survive a power cut.

// syncBytes and the transfer's timer decide how often fsync is paid: see [store.sync].
const syncBytes = 64 << 20

// record notes that piece p is verified and written; kind is the journal's. It says whether a
// sync is due.
func (s *store) record(p int, kind byte) (due bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mark(p)
	return s.unsaved >= syncBytes, s.journal.add(kind, p)
}

// mark notes that the files of piece p are to be synced.
func (s *store) mark(p int) {
	for seg := range s.info.Segments(int64(p)*s.info.PieceLength, s.info.PieceLen(p)) {
		s.dirty[seg.File] = true
		s.unsaved += seg.Length
	}
}

// sync makes what was recorded survive a power cut.
func (s *store) sync() error {
	s.syncing.Lock()
	defer s.syncing.Unlock()
	n, err := s.flush()
	if err != nil || n == 0 {
		return err
	}
	return s.journal.synced(n)
}

// flush syncs the files that were written to, and returns how many of the journal's runs that
// covers; 0 if there was nothing to do. The caller holds s.syncing.
func (s *store) flush() (runs int, err error) {
	s.mu.Lock()
	files, runs := s.dirty, s.journal.length()
	s.dirty, s.unsaved = make(map[int]bool), 0
	s.mu.Unlock()
	if len(files) == 0 {
		return 0, nil
	}
	if err := s.syncFiles(files); err != nil {
		// The system may have dropped what it could not write, and says so only once.
		s.journal.forget()
		return 0, fmt.Errorf("syncing: %w", err)
	}
	return runs, nil
}

// manyFiles is from where on one sync of the file system is cheaper than one for each file.
const manyFiles = 32

func (s *store) syncFiles(files map[int]bool) error {
	if len(files) > manyFiles {
		if err := disk.SyncFS(s.dir); err == nil {
			return nil
		}
	}
	for i := range files {
		h, err := s.files.get(i, s.where[i].Load() == partial)
		if err != nil {
			return err
		}
		err = h.f.Sync()
		s.files.put(h)
		if err != nil {
			return err
		}
	}
	return nil
}

// distrust has everything hashed at the next start: something was not on disk as it was written.
func (s *store) distrust() { s.journal.forget() }
