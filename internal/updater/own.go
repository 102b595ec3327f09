package updater

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"shoal/internal/disk"
)

// What lies in versions/ is ours if the journal says so, whose Placed names a version from before it is put there until after it has been taken away. All else is
// somebody's who may have no other copy of it: it is never removed, and a version of the same name is not installed.

// LayoutError is an ErrLayout that says what to do about it.
type LayoutError struct {
	What string
	Do   string // what helps
}

func (e *LayoutError) Error() string        { return e.What }
func (e *LayoutError) Is(target error) bool { return target == ErrLayout }

// named lists the versions that a journal of an older shoal knows, which did not say what is placed.
func (j *journal) named() []string {
	list := []string{}
	add := func(v string) {
		if v != "" && !slices.Contains(list, v) {
			list = append(list, v)
		}
	}
	for _, p := range j.History {
		add(p.Version)
		add(p.Previous)
	}
	add(j.Running)
	if a := j.Attempt; a != nil {
		add(a.Version)
		add(a.Previous)
	}
	return list
}

// owns says whether what lies in versions/ under a version's name is what was placed there. That is always a directory: a link or a file has taken its place.
func (l *layout) owns(j *journal, version string) bool {
	fi, err := os.Lstat(l.version(version))
	return err == nil && fi.IsDir() && slices.Contains(j.Placed, version)
}

// free says whether a version may be installed: an error is what lies there and is not ours.
func (l *layout) free(j *journal, version string) error {
	if path := l.version(version); disk.Exists(path) && !l.owns(j, version) {
		return &LayoutError{path + " is there, and shoal update has not put it there", "move it away, or name another place with --to"}
	}
	if l.inPlace || j.Running != "" || j.Attempt != nil {
		return nil
	}
	target, err := os.Readlink(l.current())
	if err != nil { // there is none, see newLayout
		return nil
	}
	if filepath.Dir(target) == "versions" && (slices.Contains(j.Placed, filepath.Base(target)) || slices.Contains(j.named(), filepath.Base(target))) {
		return nil
	}
	return &LayoutError{fmt.Sprintf("%s leads to %s, and shoal update has not made it", l.current(), target), "move it away, or name another place with --to"}
}

// place moves what is staged to versions/, as the journal has said it would before. A version that lies there is put right.
func (u *Updater) place(ctx context.Context) error {
	j, version := u.journal, u.staged.version
	if err := u.layout.free(j, version); err != nil {
		return err
	}
	if !slices.Contains(j.Placed, version) {
		j.Placed = append(j.Placed, version)
		if err := u.save(); err != nil {
			return err
		}
	}
	if !u.layout.has(version) {
		return u.layout.install(version, u.staged.content)
	}
	aside, err := u.layout.mend(ctx, version, u.staged.content, u.staged.fetched.Info)
	for _, a := range aside {
		u.notice(fmt.Sprintf("%s was in the way of %s, and lies at %s now", a[0], ref(u.app, version), a[1]))
	}
	return err
}

// prune removes versions that are not needed any more: those in place and pinned stay, and so many that were good before that there are as many as are to be kept.
func (u *Updater) prune() error {
	if err := u.clearStage(); err != nil {
		return err
	}
	if err := u.pruneGiven(); err != nil {
		return err
	}
	_, err := u.pruneTo(u.keep())
	return err
}

// keep is how many versions stay: what was said last, which a rollback by hand knows by the journal alone.
func (u *Updater) keep() int { return cmp.Or(max(u.cfg.Keep, 0), u.journal.Keep, 2) }

// pruneTo removes versions but for those in place and pinned, and the last few that were good. It says which.
func (u *Updater) pruneTo(few int) (gone []string, err error) {
	j := u.journal
	keep := []string{j.Running, j.Pinned}
	if list := j.confirmed(); few > 0 {
		keep = append(keep, list[:min(few, len(list))]...)
	}
	left := []string{}
	for _, v := range j.Placed {
		if !u.layout.owns(j, v) {
			continue // nor is what comes there later
		}
		if slices.Contains(keep, v) {
			left = append(left, v)
			continue
		}
		if err := u.layout.discard(v); err != nil {
			return gone, err
		}
		gone = append(gone, v)
	}
	if len(left) < len(j.Placed) {
		// What a power cut brings back must still be ours.
		if err := u.layout.syncDiscarded(); err != nil {
			return gone, err
		}
		j.Placed = left
		if err := u.save(); err != nil {
			return gone, err
		}
	}
	return gone, u.layout.emptyTrash()
}

// syncDiscarded makes durable what discard has done.
func (l *layout) syncDiscarded() error {
	for _, dir := range []string{l.versions(), l.trash()} {
		if err := l.drive.syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}
