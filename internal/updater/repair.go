package updater

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
)

// Place is a version that lies installed.
type Place struct {
	Source   string // as the user has named the channel
	Platform string // and with it; "": this machine's
	App      string
	Version  string
	V2       string // the content's info hash in hex; "": an older shoal has installed it
	Path     string // of the tree, or of a directory with the one file; in place the file
}

// Find is the installation that path belongs to: its directory, the link to the version in place, a version, or the file that is replaced in place.
func Find(path string) (to string, inPlace bool, version string, ok bool) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", false, "", false
	}
	for _, inPlace := range []bool{false, true} {
		if l, err := newLayout(absolute, inPlace, &drive{}); err == nil && l.known() {
			return absolute, inPlace, "", true
		}
	}
	real, err := filepath.EvalSymlinks(absolute)
	if err != nil {
		return "", false, "", false
	}
	for _, version := range []string{real, filepath.Dir(real)} { // or the one file of it
		to := filepath.Dir(filepath.Dir(version))
		if l, err := newLayout(to, false, &drive{}); err == nil && l.known() && filepath.Dir(version) == l.versions() {
			return to, false, filepath.Base(version), true
		}
	}
	return "", false, "", false
}

// Lookup is where a version lies at c.To, "" being the one in place. It needs no lock.
func Lookup(c Config, version string) (p Place, err error) {
	l, err := newLayout(c.To, c.InPlace, &drive{})
	if err != nil {
		return p, err
	}
	j, err := readInstalled(c)
	if err != nil {
		return p, err
	}
	p = Place{Source: j.Source, Platform: j.Platform, App: j.App, Version: cmp.Or(version, j.Running)}
	if p.Version == "" || !l.has(p.Version) {
		return p, fmt.Errorf("%w: %s has no version %s", ErrNothing, c.To, p.Version)
	}
	p.V2, p.Path = j.hash(p.Version), l.version(p.Version)
	if c.InPlace && p.Version == j.Running {
		p.Path = l.current()
	}
	return p, nil
}

// Repair makes a version anew, from what is right of it where it lies and what has to be fetched besides, and puts that in the place of what is damaged. No hook runs:
// what is in place stays the version that it is.
func (u *Updater) Repair(ctx context.Context, version string) (*Fetched, error) {
	done, err := u.take()
	if err != nil {
		return nil, err
	}
	defer done()
	u.cfg.Hooks = u.journal.Hooks // of what was interrupted
	if err := u.recover(ctx); err != nil {
		return nil, err
	}
	j := u.journal
	o := &Offer{App: u.app, Version: version, V2: j.hash(version), Damaged: true}
	if !u.layout.has(version) || o.V2 == "" {
		return nil, fmt.Errorf("%w: what %s should be is not known", ErrNothing, ref(u.app, version))
	}
	if err := u.layout.free(j, version); err != nil {
		return nil, err
	}
	if err := u.stage(ctx, o); err != nil {
		return nil, err
	}
	f := u.staged.fetched
	if err := u.place(ctx); err != nil {
		return nil, err
	}
	u.staged = staged{}
	if version == j.Running {
		if err := u.layout.switchTo(ctx, version); err != nil {
			return nil, err
		}
	}
	return f, errors.Join(u.clearStage(), u.layout.emptyTrash())
}
