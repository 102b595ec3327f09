package edgecache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"shoal/internal/deliver"
	"shoal/internal/disk"
	"shoal/piece"
)

// A file that does not look as it did is as a rule the same nevertheless: its disk was copied, moved or restored, its mode was changed, it was touched. So it is read before
// anything is done about it. That takes no room, no origin and no catalog.

// maxRechecks is how many contents are read at once that nobody waits for: after a disk was restored it is all of them.
const maxRechecks = 2

// recheck reads a content that is suspect, where it lies, and offers it again if it is what it was. Else it is fetched where it is not.
func (e *Edge) recheck(ctx context.Context, c *content) error {
	t, err := piece.ReadFile(e.shelf.torrentPath(c.key))
	if err != nil && c.from == nil {
		return errNoSource
	}
	if err != nil { // what it is to be is found out first; then it is read as what was fetched in part
		return e.fetch(ctx, c)
	}
	end, err := e.turn(ctx, c)
	if err != nil {
		return err
	}
	right, err := e.reread(ctx, c.key, t)
	end()
	if err != nil {
		return err
	}
	if right {
		e.cfg.Log.Info("a content is what it was; only how its files look has changed", "name", c.ref(), "infohash", c.key)
		defer e.nudge()
		return e.give(c)
	}
	e.cfg.Log.Warn("a content has changed on disk, and is fetched again where it has", "name", c.ref(), "infohash", c.key)
	e.condemn(c.key)
	if c.from == nil {
		return errNoSource
	}
	return e.fetch(ctx, c)
}

// turn waits until a content may be read, which is at once if somebody waits for it; end is called when that is done.
func (e *Edge) turn(ctx context.Context, c *content) (end func(), err error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !c.demands() {
		select {
		case e.rechecking <- struct{}{}:
			return func() { <-e.rechecking }, nil
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return func() {}, nil
}

// reread says whether all of a content is what was verified, and if so has that in its record, with what its files look like now. An error says that it cannot be told.
func (e *Edge) reread(ctx context.Context, key string, t *piece.Torrent) (right bool, err error) {
	path := filepath.Join(e.shelf.contentDir(key), t.Name)
	stamps, err := deliver.Stamps(t.Info, path) // first: what changes from now on is another file
	if err != nil {
		return false, mayNotRead(err)
	}
	for i := range t.Files { // what may not be read is told before all else was read in vain
		if t.Files[i].Symlink == nil {
			f, err := os.Open(deliver.FileOf(t.Info, path, i))
			if f.Close(); mayNotRead(err) != nil {
				return false, mayNotRead(err)
			}
		}
	}
	report, err := piece.Verify(ctx, t.Info, path, piece.VerifyConfig{})
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil || len(report.BadPieces) > 0 || len(report.Unchecked) > 0 {
		return false, nil
	}
	for _, f := range report.Files {
		if f.State != piece.WrongMode {
			return false, nil
		}
		if stamps[f.File], err = setMode(deliver.FileOf(t.Info, path, f.File), t.Files[f.File].Executable, stamps[f.File]); err != nil {
			return false, nil
		}
	}
	h, ok := e.shelf.get(key)
	if !ok || h.dropped {
		return false, errDropped
	}
	return true, e.shelf.keepAs(key, t, stamps, h.at, e.cfg.Now())
}

// mayNotRead is an error if it says that a file may not be read, which says nothing about what is in it.
func mayNotRead(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("reading it again: %w", err)
	}
	return nil
}

// setMode makes a file executable or not, and returns what it looks like then. was is what it looked like when it was read.
func setMode(path string, executable bool, was disk.Stamp) (disk.Stamp, error) {
	fi, err := os.Lstat(path)
	if err != nil {
		return was, err
	}
	if !disk.StampOfInfo(fi).Equal(was) || !fi.Mode().IsRegular() {
		return was, errChanged
	}
	mode := fi.Mode().Perm() &^ 0o111
	if executable {
		mode |= mode & 0o444 >> 2
	}
	if err := os.Chmod(path, mode); err != nil {
		return was, err
	}
	if fi, err = os.Lstat(path); err != nil {
		return was, err
	}
	now := disk.StampOfInfo(fi)
	if now.Size != was.Size || now.MtimeNs != was.MtimeNs || now.Inode != was.Inode {
		return was, errChanged
	}
	return now, nil
}
