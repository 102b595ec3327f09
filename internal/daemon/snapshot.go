package daemon

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"shoal/internal/disk"
)

// peersName is the name of the tracker's snapshot in the state directory.
const peersName = "peers"

// peersTime is how often the snapshot is renewed: what a machine has announced since is lost if the tracker is killed.
const peersTime = time.Minute

// restorePeers gives the tracker what it knew when it was stopped. Nothing depends on it: what cannot be read is told and left.
func (s *Server) restorePeers() {
	f, err := os.Open(filepath.Join(s.cfg.StateDir, peersName))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		defer f.Close()
		err = s.tracker.Restore(f)
	}
	if err != nil {
		s.cfg.Log.Warn("restoring the tracker's peers", "err", err)
	}
	if n := s.tracker.Stats().Peers; n > 0 {
		s.cfg.Log.Info("restored the tracker's peers", "peers", n)
	}
}

// keepPeers saves them now and then, if anybody has announced himself since, until ctx is done.
func (s *Server) keepPeers(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var saved uint64
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		st := s.tracker.Stats()
		if n := st.AnnouncesHTTP + st.AnnouncesUDP; n != saved {
			saved = n
			s.savePeers()
		}
	}
}

// savePeers writes them.
func (s *Server) savePeers() {
	path := filepath.Join(s.cfg.StateDir, peersName)
	if err := disk.Write(path, 0o600, s.tracker.Save); err != nil {
		s.cfg.Log.Warn("saving the tracker's peers", "err", err)
	}
}
