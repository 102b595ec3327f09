package daemon

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"shoal/internal/disk"
	"shoal/internal/release"
)

const (
	// lookEvery is how soon a server notices that somebody has published into its repository.
	lookEvery = time.Second
	// signEvery is how often it is looked whether something has to be signed again; the timestamp is when it is a day old.
	signEvery = time.Hour
	// itemEvery is how often the item in the DHT is put again: nodes forget it after two hours (BEP 44).
	itemEvery = 40 * time.Minute
	itemRetry = 2 * time.Second
)

// keepRepository offers what is published into the repository, and signs again what online keys can, until ctx is done.
func (s *Server) keepRepository(ctx context.Context) error {
	r := s.cfg.Repository
	look, sign := time.NewTicker(lookEvery), time.NewTicker(signEvery)
	item := time.NewTimer(itemEvery)
	defer item.Stop()
	wait := itemRetry
	point := func() {
		if s.pointTo(ctx) {
			wait = itemRetry
			item.Reset(itemEvery)
			return
		}
		item.Reset(wait) // the DHT has perhaps only just been entered
		wait = min(4*wait, itemEvery)
	}
	defer look.Stop()
	defer sign.Stop()
	s.sign(ctx)
	var seen lastRead
	for {
		if now, err := readNow(r); err == nil && (!seen.is(now) || s.seeder.Unsettled()) {
			_, err := s.seeder.SyncRepository(ctx, r)
			select {
			case s.offered <- err: // the first time, somebody waits for it
			default:
			}
			if err == nil && s.fleet != nil {
				err = s.fleet.refresh(ctx)
			}
			if err == nil {
				seen = now
				point()
			} else if ctx.Err() == nil {
				s.cfg.Log.Warn("the repository cannot be read", "err", err)
			}
		} else if err == nil {
			s.seeder.Look(time.Now()) // what was pruned is not on offer any more, and not missed
		}
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		case <-sign.C:
			s.sign(ctx)
		case <-item.C:
			point()
		case checkpoint := <-s.heard:
			s.witness(ctx, checkpoint)
		}
	}
}

// lastRead is what a repository had published when it was read last; the zero value: it was not read.
type lastRead struct{ timestamp os.FileInfo }

// readNow is for who reads the repository after it.
func readNow(r *release.Repository) (lastRead, error) {
	fi, err := os.Stat(filepath.Join(r.Public(), "metadata", "timestamp.json"))
	return lastRead{fi}, err
}

// is says whether nothing was published since.
func (l lastRead) is(now lastRead) bool {
	return l.timestamp != nil && os.SameFile(now.timestamp, l.timestamp) && now.timestamp.ModTime().Equal(l.timestamp.ModTime())
}

// witness holds what a peer has seen of the log against the log that is here. That they differ is what only somebody with the log's key can do.
func (s *Server) witness(ctx context.Context, checkpoint []byte) {
	err := s.cfg.Repository.Witness(ctx, checkpoint, filepath.Join(s.cfg.StateDir, "trust"))
	var refusal *release.Refusal
	switch {
	case errors.As(err, &refusal):
		s.cfg.Log.Error("somebody was shown another log of this repository: its keys have been stolen, or two origins sign", "err", err, "evidence", refusal.Hint)
	case err != nil && ctx.Err() == nil:
		s.cfg.Log.Warn("a peer's checkpoint cannot be compared", "err", err)
	}
}

// pointTo offers the repository's state, and has an item in the DHT point to it. It reports whether that is done.
func (s *Server) pointTo(ctx context.Context) bool {
	if s.items == nil {
		return true
	}
	r := s.cfg.Repository
	c, version, err := s.seeder.OfferState(ctx, r)
	if err == nil {
		var item *release.Item
		if item, err = r.SignItem(ctx, c.V1, version); err == nil {
			err = s.items.PutItem(ctx, item)
		}
	}
	if err != nil && ctx.Err() == nil {
		s.cfg.Log.Warn("the repository cannot be found without this server", "err", err)
	}
	if err == nil {
		s.cfg.Log.Debug("the DHT points to the repository", "infohash", c.V1.HexString(), "version", version)
	}
	return err == nil
}

// RepositoryOffered waits until the repository's content is on offer, once, and says why it is not.
func (s *Server) RepositoryOffered(ctx context.Context) error {
	select {
	case err := <-s.offered:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sign has the repository sign again what would expire, as far as the keys that are here can.
func (s *Server) sign(ctx context.Context) {
	done, err := s.cfg.Repository.Update(ctx, nil)
	switch {
	case ctx.Err() != nil:
	case errors.Is(err, disk.ErrHeld): // somebody publishes, and signs
	case errors.Is(err, fs.ErrPermission):
		s.cfg.Log.Warn("the repository cannot be written: its timestamp must be signed elsewhere", "err", err)
	case err != nil:
		s.cfg.Log.Error("signing the repository again", "err", err)
	case done.Unfinished:
		s.cfg.Log.Warn("the online keys are not here: what is published does not take effect, and the timestamp must be signed elsewhere")
	case len(done.Signed) > 0:
		s.cfg.Log.Info("signed again", "roles", done.Signed)
	}
}
