package daemon

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"shoal/internal/disk"
)

// peersName is the name of the tracker's snapshot in the state directory.
const peersName = "peers"

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

// savePeers writes them. It is called when everything has stopped.
func (s *Server) savePeers() {
	path := filepath.Join(s.cfg.StateDir, peersName)
	if err := disk.Write(path, 0o600, s.tracker.Save); err != nil {
		s.cfg.Log.Warn("saving the tracker's peers", "err", err)
	}
}
