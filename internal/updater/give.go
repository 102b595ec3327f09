package updater

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Gift is the version in place, to be given to others while the updater waits.
type Gift struct {
	Version string // "": nothing is to be given
	V2      string // the content's info hash in hex
	Path    string // of the tree, or of a directory with the one file
	Give    string // what Places.Give was; there may be nothing
}

// Giver is a Source that gives to others what this machine has installed.
type Giver interface {
	// Give has others get a version in place of what they got before. What is given already stays so.
	Give(ctx context.Context, g Gift)
	// Close ends it.
	Close() error
}

// gift is what others may have of this machine: the version that was confirmed here, unless its publisher has withdrawn it or halted its rollout.
func (u *Updater) gift() Gift {
	j := u.journal
	if j == nil || j.Running == "" || j.Attempt != nil || !u.layout.has(j.Running) {
		return Gift{}
	}
	g := Gift{Version: j.Running, V2: j.hash(j.Running), Path: u.layout.version(j.Running), Give: u.layout.given(j.Running)}
	if o := u.offer; o != nil {
		offered := o.Version == j.Running
		if o.Withdrawn != "" || offered && o.Rollout != nil && o.Rollout.Halted {
			return Gift{}
		}
		if offered {
			g.V2 = o.V2
		}
	}
	if g.V2 == "" {
		return Gift{}
	}
	return g
}

// pruneGiven removes what is kept for others of versions that are not in place.
func (u *Updater) pruneGiven() error {
	dir := filepath.Dir(u.layout.given("x"))
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range list {
		if e.Name() == u.journal.Running {
			continue
		}
		if err := u.drive.remove(u.layout.given(e.Name())); err != nil {
			return err
		}
	}
	return nil
}
