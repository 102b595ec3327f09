package cli

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"shoal/internal/deliver"
	"shoal/internal/release"
	"shoal/internal/updater"
	"shoal/piece"
)

// toVerify is content on disk, and how to repair it.
type toVerify struct {
	torrent *piece.Torrent
	path    string
	repair  func(ctx context.Context, found *piece.Report) error
}

// verifies finds out what the arguments mean: TORRENT PATH, SOURCE with or without PATH, or a PATH alone that is known here.
func (e *env) verifies(ctx context.Context, args []string) (*toVerify, error) {
	src, err := deliver.Classify(args[0])
	switch {
	case err == nil && src.Signed():
		return e.verifiesRelease(ctx, src, args[1:])
	case len(args) == 2:
		return e.verifiesTorrent(args[0], args[1])
	}
	if _, missing := os.Lstat(args[0]); missing != nil {
		return nil, cmp.Or(err, missing)
	}
	if c, version, ok := e.updaterOf(args[0]); ok {
		return e.verifiesInstalled(c, version)
	}
	known, err := deliver.KnownAt(e.settings.String("state-dir"), args[0])
	if err != nil {
		if _, isTorrent := readTorrent(args[0]); isTorrent == nil {
			err = usagef("shoal verify "+shellWord(args[0])+" PATH", "%s describes some content, and does not say where it lies", args[0])
		}
		return nil, err
	}
	return e.verifiesKnown(known), nil
}

func (e *env) verifiesTorrent(torrent, path string) (*toVerify, error) {
	t, err := readTorrent(torrent)
	if err != nil {
		return nil, err
	}
	return e.verifiesAt(t, path, deliver.Source{Kind: deliver.KindFile, Path: torrent}, deliver.Request{})
}

// verifiesAt is for content at a path that the user has named, or at the one in it.
func (e *env) verifiesAt(t *piece.Torrent, path string, src deliver.Source, r deliver.Request) (*toVerify, error) {
	path, err := findContent(t.Info, path)
	if err != nil {
		return nil, err
	}
	if e.settings.Bool("repair") {
		if path, err = repairable(t, path); err != nil {
			return nil, err
		}
	}
	r.Dir, r.UserAgent = filepath.Dir(path), userAgent()
	return &toVerify{t, path, func(ctx context.Context, found *piece.Report) error {
		if done, err := e.repairHere(ctx, t, path, r.StateDir, found); done || err != nil {
			return err
		}
		return e.fetch(ctx, src, r, time.Now())
	}}, nil
}

// verifiesRelease is for a release: at the path that is named, or where it was put.
func (e *env) verifiesRelease(ctx context.Context, src deliver.Source, path []string) (*toVerify, error) {
	state := e.settings.String("state-dir")
	if len(path) == 0 && src.Release.Version != "" && src.Release.Repository == nil { // nobody need be asked
		if known := deliver.KnownRelease(state, src.Release.App+"@"+src.Release.Version, ""); known != nil {
			return e.verifiesPut(known, src.Release.Version, src, deliver.Request{StateDir: state, V2: known.Torrent.Key()})
		}
	}
	found, err := e.resolveRelease(ctx, src, true, nil)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	v2, ref := found.Release.Tree().V2, found.Release.App+"@"+found.Release.Version
	if src.Kind == deliver.KindRelease { // the channel may have another one in a moment
		src.Release.Channel, src.Release.Version = "", found.Release.Version
	}
	r := deliver.Request{StateDir: state, V2: v2}
	if len(path) > 0 {
		t, err := deliver.Describe(ctx, found, state)
		if err != nil {
			return nil, err
		}
		if c, version, ok := e.updaterOf(path[0]); ok {
			c.App = found.Release.App
			return e.verifiesInstalled(c, cmp.Or(version, found.Release.Version))
		}
		return e.verifiesAt(t, path[0], src, r)
	}
	known := deliver.KnownRelease(state, ref, v2)
	if known == nil {
		return nil, &deliver.Error{Kind: deliver.ErrNoSource, Message: fmt.Sprintf("where %s lies is not known here: nobody has put it anywhere with this state directory", ref),
			Hint: "say where: shoal verify " + ref + " PATH"}
	}
	return e.verifiesPut(known, found.Release.Version, src, r)
}

// verifiesPut is for a version of a release where it was put, by get or by update.
func (e *env) verifiesPut(k *deliver.Known, version string, src deliver.Source, r deliver.Request) (*toVerify, error) {
	if c, named, ok := e.updaterOf(k.Path); ok {
		return e.verifiesInstalled(c, cmp.Or(named, version))
	}
	return e.verifiesAt(k.Torrent, k.Path, src, r)
}

// updaterOf is the updater of what is installed at path, or into which it leads, and the version that path is of; "" is the one in place.
func (e *env) updaterOf(path string) (c updater.Config, version string, ok bool) {
	to, inPlace, version, ok := updater.Find(path)
	return updater.Config{To: to, InPlace: inPlace, Log: e.log, Notice: e.note}, version, ok
}

// verifiesKnown is for what was put somewhere.
func (e *env) verifiesKnown(k *deliver.Known) *toVerify {
	return &toVerify{k.Torrent, k.Path, func(ctx context.Context, found *piece.Report) error {
		if done, err := e.repairHere(ctx, k.Torrent, k.Path, e.settings.String("state-dir"), found); done || err != nil {
			return err
		}
		r, ok := release.ParseRef(k.Release)
		if !ok {
			return &deliver.Error{Kind: deliver.ErrNoSource, Message: "which release " + k.Path + " is, is not known: an older shoal has put it there",
				Hint: "name it: shoal verify --repair APP@VERSION " + shellWord(k.Path)}
		}
		src := deliver.Source{Kind: deliver.KindRelease, Release: deliver.Release{App: r.App, Version: r.Version}}
		return e.fetch(ctx, src, deliver.Request{Dir: filepath.Dir(k.Path), UserAgent: userAgent(), StateDir: e.settings.String("state-dir"), V2: k.Torrent.Key()}, time.Now())
	}}
}

// verifiesInstalled is for a version that update has installed; "" is the one in place.
func (e *env) verifiesInstalled(c updater.Config, version string) (*toVerify, error) {
	place, err := updater.Lookup(c, version)
	if err != nil {
		return nil, err
	}
	ref := place.App + "@" + place.Version
	t := deliver.Description(e.settings.String("state-dir"), place.V2)
	if t == nil {
		return nil, &deliver.Error{Kind: deliver.ErrNoSource, Message: fmt.Sprintf("what %s should be is not known: the state directory has no description of it", ref),
			Hint: "is it the state directory that update uses? --state-dir DIR"}
	}
	path := place.Path
	if fi, err := os.Stat(path); err == nil && fi.IsDir() && !t.Dir {
		path = filepath.Join(path, t.Name)
	}
	return &toVerify{t, path, func(ctx context.Context, _ *piece.Report) error { return e.repairInstalled(ctx, c, place, t) }}, nil
}

// repairInstalled has the updater make a version anew.
func (e *env) repairInstalled(ctx context.Context, c updater.Config, place updater.Place, t *piece.Torrent) error {
	src, err := deliver.Classify(place.Source)
	if err != nil {
		return err
	}
	begin := time.Now()
	c.Source = e.releases(src, cmp.Or(e.settings.String("platform"), place.Platform), false)
	u, err := updater.New(c)
	if err != nil {
		return err
	}
	f, err := u.Repair(ctx, place.Version)
	if err != nil {
		return interruptible(err, "what is verified is kept: run it again to go on")
	}
	sum := summary{Name: t.Name, Infohash: t.Key(), Bytes: t.Length, Seconds: seconds(time.Since(begin)), Efficiency: 1, From: fromClasses(f.From), Way: f.Way, PatchFrom: f.Base}
	sum.Saved = max(0, t.Length-(sum.From.sum()-sum.From.Reuse))
	e.report.Done(sum)
	return nil
}
