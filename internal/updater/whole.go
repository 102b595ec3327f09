package updater

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"shoal/internal/disk"
	"shoal/piece"
)

// DamagedError is that a version that lies here is not what it should be, and cannot be made so. It is a piece.ErrCorrupt.
type DamagedError struct {
	App, Version string
	Bad, Files   int // so many of its files are not right
	Why          error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("%s as it is kept here is damaged (%d of its %d files), and its repair fails: %v", ref(e.App, e.Version), e.Bad, e.Files, e.Why)
}

// Is hides Why, of which the damage is no kind.
func (e *DamagedError) Is(target error) bool { return target == piece.ErrCorrupt }

// describe is what a version's content should be, if that is known here.
func (u *Updater) describe(v2 string) *piece.Info {
	if d, ok := u.cfg.Source.(Describer); ok && v2 != "" {
		return d.Describe(v2)
	}
	return nil
}

// fileOf is the name of the one file of a version; "": that is not known, or it has several.
func (u *Updater) fileOf(version string) string {
	j := u.journal
	if u.staged.version == version && u.staged.fetched != nil {
		return fileName(u.staged.fetched.Info)
	}
	v2 := j.hash(version)
	if a := j.Attempt; a != nil && a.Version == version && a.V2 != "" {
		v2 = a.V2
	}
	if info := u.describe(v2); info != nil {
		return fileName(info)
	}
	return ""
}

func fileName(info *piece.Info) string {
	if info.Dir {
		return ""
	}
	return info.Name
}

// compare reads all of a version in versions/, and says what of it is not right.
func (u *Updater) compare(ctx context.Context, version string, info *piece.Info) (*piece.Report, error) {
	at := u.layout.version(version)
	if !info.Dir {
		at = filepath.Join(at, info.Name)
	}
	return piece.Verify(ctx, info, at, piece.VerifyConfig{})
}

// makeSure has a version that is kept be right before it is gone back to: what is not is repaired, in the stage. Nobody is asked where all of it is right.
func (u *Updater) makeSure(ctx context.Context, version string) error {
	o := &Offer{App: u.app, Version: version, V2: u.journal.hash(version), Damaged: true}
	info := u.describe(o.V2)
	if info == nil {
		u.notice(fmt.Sprintf("what %s should be is not known here: it is taken as it lies, and not checked", ref(u.app, version)))
		return nil
	}
	o.Bytes = info.Length
	report, err := u.compare(ctx, version, info)
	if err == nil && report.OK() {
		return nil
	}
	bad := len(info.Files) // a directory where the one file should be
	if err == nil {
		bad = len(report.Files)
	}
	switch err := u.stage(ctx, o); {
	case ctx.Err() != nil:
	case disk.IsNoSpace(err), errors.Is(err, disk.ErrHeld), errors.Is(err, fs.ErrPermission):
		return err
	case err != nil:
		return &DamagedError{u.app, version, bad, len(info.Files), err}
	}
	return ctx.Err()
}
