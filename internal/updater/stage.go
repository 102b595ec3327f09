package updater

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"shoal/internal/deliver"
	"shoal/internal/disk"
	"shoal/piece"
	"shoal/swarm"
)

// staged is a version that was fetched and verified, and lies in stage/.
type staged struct {
	version string
	content string // the path that becomes versions/VERSION; "": it has
	fetched *Fetched
}

// stage fetches what is offered, from what lies on this disk first, and verifies all of it once more as it lies there.
func (u *Updater) stage(ctx context.Context, o *Offer) error {
	if u.staged.version == o.Version && disk.Exists(u.staged.content) {
		return nil
	}
	if err := u.layout.near(); err != nil {
		return err
	}
	left, err := u.leaveStage(o.Version)
	if err != nil {
		return err
	}
	u.tell(Report{State: StateStaging, Version: o.Version, Previous: u.journal.Running, Bytes: o.Bytes})
	if right, err := u.stageKept(ctx, o); right || err != nil {
		return err
	}
	places := u.layout.places(u.journal, o.Version)
	places.Left = left
	dir := places.Dir
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := u.cfg.Source.Fetch(ctx, o, places)
	if disk.IsNoSpace(err) {
		switch made, failed := u.makeRoom(o, left != ""); {
		case failed != nil:
			return failed
		case made:
			places = u.layout.places(u.journal, o.Version)
			f, err = u.cfg.Source.Fetch(ctx, o, places)
		}
	}
	if disk.IsNoSpace(err) || errors.Is(err, ErrLayout) { // what came so far is in everybody's way, or of no use
		err = errors.Join(err, os.RemoveAll(dir), os.RemoveAll(places.Give))
	}
	if err != nil {
		return err
	}
	if u.layout.inPlace && f.Info.Dir {
		return errors.Join(notOneFile(f.Info), os.RemoveAll(dir))
	}
	content := filepath.Join(dir, f.Info.Name)
	report, err := piece.Verify(ctx, f.Info, content, piece.VerifyConfig{})
	if err != nil {
		return err
	}
	if !report.OK() {
		return fmt.Errorf("%s@%s as it lies on this disk: %s: %w", o.App, o.Version, report, piece.ErrCorrupt)
	}
	if !f.Info.Dir {
		content = dir
	}
	if err := u.clearStage(o.Version); err != nil { // what was of use there was used
		return err
	}
	u.staged = staged{o.Version, content, f}
	u.tell(Report{State: StateStaged, Version: o.Version, Previous: u.journal.Running, Bytes: o.Bytes})
	return nil
}

// makeRoom removes what a version does not need, because there is no room for it: what is left of another one's stage, and old versions that would go when it is in place. For the
// repair of one that is here none goes.
func (u *Updater) makeRoom(o *Offer, left bool) (made bool, err error) {
	if err := u.clearStage(o.Version); err != nil || o.Damaged || u.layout.has(o.Version) {
		return left, err
	}
	gone, err := u.pruneTo(u.keep() - 1) // it is one of those to keep itself
	if len(gone) > 0 {
		u.notice(fmt.Sprintf("%s of %s removed, to make room for %s", strings.Join(gone, ", "), u.app, o.Version))
	}
	return left || len(gone) > 0, err
}

// stageKept says whether a version lies in versions/ already, and is as it should be: then there is nothing to stage.
func (u *Updater) stageKept(ctx context.Context, o *Offer) (right bool, err error) {
	info := u.describe(o.V2)
	if info == nil || o.Damaged || !u.layout.owns(u.journal, o.Version) {
		return false, nil
	}
	report, err := u.compare(ctx, o.Version, info)
	if err != nil || !report.OK() { // whatever is wrong with it, staging puts it right
		return false, ctx.Err()
	}
	f := &Fetched{Info: info, Way: deliver.WayTree}
	f.From[swarm.Reuse] = info.Length
	u.staged = staged{o.Version, "", f}
	u.tell(Report{State: StateStaged, Version: o.Version, Previous: u.journal.Running, Bytes: o.Bytes})
	return true, nil
}

// notOneFile refuses a release that cannot replace a file.
func notOneFile(info *piece.Info) error {
	return &LayoutError{info.Name + " is a directory, and only a file is replaced in place", "leave --in-place away, and name a directory with --to"}
}

// leaveStage removes what was staged of other versions, but for that which was begun last: it says where that lies.
func (u *Updater) leaveStage(version string) (left string, err error) {
	list, err := os.ReadDir(filepath.Dir(u.layout.stage("x")))
	if err != nil {
		return "", err
	}
	var last time.Time
	keep := ""
	for _, e := range list {
		if fi, err := e.Info(); err == nil && fi.IsDir() && e.Name() != version && fi.ModTime().After(last) {
			last, keep = fi.ModTime(), e.Name()
		}
	}
	if keep != "" {
		left = u.layout.stage(keep)
	}
	return left, u.clearStage(version, keep)
}

// clearStage removes what was staged of other versions than these.
func (u *Updater) clearStage(but ...string) error {
	list, err := os.ReadDir(filepath.Dir(u.layout.stage("x")))
	if err != nil {
		return err
	}
	for _, e := range list {
		if !slices.Contains(but, e.Name()) {
			if err := u.drive.remove(u.layout.stage(e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxForeign bounds how many directories in versions/ that are not ours a first update reads.
const maxForeign = 4

// foreign is what lies where versions do and is not ours, the newest first: before the first update it may be an older version, put there by hand.
func (l *layout) foreign(j *journal) (list []Kept) {
	if fi, err := os.Lstat(l.current()); l.inPlace && err == nil && fi.Mode().IsRegular() {
		list = append(list, Kept{Path: l.current()})
	}
	inside, err := os.ReadDir(l.versions())
	if err != nil {
		return list
	}
	changed := map[string]time.Time{}
	inside = slices.DeleteFunc(inside, func(e fs.DirEntry) bool {
		fi, err := e.Info()
		if err == nil {
			changed[e.Name()] = fi.ModTime()
		}
		return err != nil || !fi.IsDir() || slices.Contains(j.Placed, e.Name())
	})
	slices.SortStableFunc(inside, func(a, b fs.DirEntry) int { return changed[b.Name()].Compare(changed[a.Name()]) })
	for _, e := range inside[:min(len(inside), maxForeign)] {
		list = append(list, Kept{Path: l.version(e.Name())})
	}
	return list
}

// places are those of a version. What a fetch begins with is the version itself, if it is still here, then the one that runs, and then all others that are kept.
func (l *layout) places(j *journal, version string) Places {
	p := Places{Dir: l.stage(version), Give: l.given(version), File: l.inPlace, Final: func(info *piece.Info) string {
		switch {
		case l.inPlace:
			return l.current()
		case info.Dir:
			return l.version(version)
		}
		return filepath.Join(l.version(version), info.Name)
	}}
	for _, v := range slices.Concat([]string{version, j.Running}, j.confirmed(), j.Placed) {
		path := l.version(v)
		if v == "" || !l.has(v) || slices.ContainsFunc(p.Kept, func(k Kept) bool { return k.Path == path }) {
			continue
		}
		p.Kept = append(p.Kept, Kept{path, j.hash(v)})
	}
	for _, v := range slices.Backward(j.named()) {
		if !l.has(v) {
			p.Gone = append(p.Gone, v)
		}
	}
	if j.Running == "" && j.Attempt == nil {
		p.Kept = append(p.Kept, l.foreign(j)...)
	}
	return p
}
