package seeder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"

	"shoal/internal/release"
	"shoal/piece"
	"shoal/piece/delta"
)

// PatchConfig says which patches a release is to have.
type PatchConfig struct {
	App, Version, Platform string
	Channel                string   // whose newest versions are patched from first, then the app's
	Newest                 int      // from how many in all; with none and From empty, only the index of blocks is added
	From                   []string // from these as well
	// Memory is how many bytes making a patch may take; zero means delta.DefaultMemory. While one is made it is, with delta.BesideMemory, the limit of the whole
	// process (debug.SetMemoryLimit): the diff keeps to it, and so does the garbage beside it.
	Memory int64
	// Indexing is told how far the index of blocks is, Trying how far a patch from before is looked at, and Progress how far a patch is; Made when it is done, and on offer if it is
	// worth it. Each may be nil.
	Indexing func(done, total int64)
	Trying   func(from string, done, total int64)
	Progress func(from string, done, total int64)
	Made     func(p MadePatch)
}

// MadePatch is a patch that was made.
type MadePatch struct {
	From  string
	Bytes int64  // of one that is not kept: it would have more
	Kept  bool   // it is clearly smaller than the archive, and published
	Again string // what is wrong with one that was published before, instead of which this is: it is lost, or wrong; "": there was none
}

// patchShare is how much of the archive's size, or the content's if there is none, a patch may have to be worth it.
const patchShare = 0.6

// AddPatches makes the patches that a published release has not yet, from the newest version on, and publishes each when it is ready. Of a release that is published again those that are lost
// are made again, and those that do not lead to it. Versions whose content is not in the repository any more, is not what was signed, or cannot be read, are told of in notices.
func AddPatches(ctx context.Context, r *release.Repository, c PatchConfig) (notices []string, err error) {
	rel, err := r.Lookup(ctx, c.App, c.Version, c.Platform)
	if err != nil {
		return nil, err
	}
	if rel == nil {
		return nil, fmt.Errorf("%s@%s for %s %w", c.App, c.Version, c.Platform, release.ErrNoRelease)
	}
	bases, missing, err := patchBases(ctx, r, rel, c)
	if err != nil {
		return nil, err
	}
	contents, err := r.Live(ctx)
	if err != nil {
		return missing, err
	}
	w := patching{r: r, c: c, rel: rel, contents: contents, notices: missing}
	if w.new, err = openStored(r, contents, rel); err != nil { // it was there just now
		return append(missing, fmt.Sprintf("the content of %s cannot be read: no patches to it: %v", rel.Ref(), err)), nil
	}
	err = w.addIndex(ctx)
	for _, b := range bases {
		if err != nil {
			break
		}
		if b.rel.Tree().V2 != rel.Tree().V2 {
			err = w.from(ctx, b)
		}
	}
	if changed, ok := errors.AsType[*changeError](err); ok { // the release itself: it is live, and that is for serve to tell
		return append(w.notices, fmt.Sprintf("%v: nobody can fetch it from here, and no patches to it are made; %s", changed, changed.remedy())), nil
	}
	return w.notices, err
}

// patching is the work of AddPatches.
type patching struct {
	r        *release.Repository
	c        PatchConfig
	rel      *release.Release
	new      *stored
	contents []*release.Live
	notices  []string
}

func (w *patching) notice(format string, args ...any) {
	w.notices = append(w.notices, fmt.Sprintf(format, args...))
}

// from makes the patch from one version, unless there is one that is as it should be. That the base is not is told of; that the release's content is not is a changeError.
func (w *patching) from(ctx context.Context, b base) error {
	again := ""
	if b.patch != nil {
		p, err := openPatch(ctx, w.r, w.contents, w.rel, b.patch)
		if err == nil {
			defer p.Close()
			if right, err := w.try(ctx, b, p); err != nil || right {
				return err
			}
			again = "wrong"
		} else if again = "lost"; ctx.Err() != nil {
			return ctx.Err()
		}
	}
	old, err := openStored(w.r, w.contents, b.rel)
	switch {
	case errors.Is(err, os.ErrNotExist):
		w.notice("the content of %s is not in the repository any more: no patch from it; if what it was made of is still there, publish it again, and then %s", b.rel.Ref(), w.rel.Ref())
		return nil
	case err != nil: // the release is live, and other versions may do
		w.notice("the content of %s cannot be read: no patch from it: %v", b.rel.Ref(), err)
		return nil
	}
	made, err := w.addPatch(ctx, old, again)
	if changed, ok := errors.AsType[*changeError](err); ok && changed.s == old {
		w.notice("%v: no patch from it, and machines that have it fetch more; %s, then publish %s again", changed, changed.remedy(), w.rel.Ref())
		return nil
	}
	if err != nil {
		return fmt.Errorf("patching %s to %s: %w", b.rel.Ref(), w.rel.Ref(), err)
	}
	if w.c.Made != nil {
		w.c.Made(made)
	}
	return nil
}

// try says whether a patch is to stay: it leads to the release, or its base is not here as it was signed, so that nothing better can be made.
func (w *patching) try(ctx context.Context, b base, p io.Reader) (bool, error) {
	old, err := openStored(w.r, w.contents, b.rel)
	if err != nil {
		return true, ctx.Err()
	}
	from, to := patchFiles(old.t.Info, w.new.t.Info)
	if err := w.new.check(ctx, to); err != nil {
		return true, err
	}
	if err := old.check(ctx, from); err != nil {
		return true, ctx.Err()
	}
	var progress func(done, total int64)
	if w.c.Trying != nil {
		progress = func(done, total int64) { w.c.Trying(b.rel.Version, done, total) }
	}
	return leadsTo(ctx, p, old, w.new, progress)
}

// patchFiles are the files that a patch is made of: those of the old version that may have something of the new one's, and the new one's that are not among them.
func patchFiles(old, new *piece.Info) (from, to []bool) {
	has := func(in *piece.Info, i int) bool { return in.Files[i].Symlink == nil && in.Files[i].Length > 0 }
	from, to = make([]bool, len(old.Files)), make([]bool, len(new.Files))
	changes := delta.Compare(old, new)
	for _, i := range changes.Removed {
		from[i] = has(old, i)
	}
	for i, change := range changes.Files {
		if change.Kind > delta.Changed || !has(new, i) {
			continue
		}
		if to[i] = true; change.Old >= 0 {
			from[change.Old] = has(old, change.Old)
		}
	}
	return from, to
}

// A base is a release that there is to be a patch from.
type base struct {
	rel   *release.Release
	patch *release.Artefact // that there is already; nil: none
}

// patchBases are the releases that patches are to begin with, the likeliest first, and then others that there is a patch from. missing
// says which of c.From cannot be.
func patchBases(ctx context.Context, r *release.Repository, rel *release.Release, c PatchConfig) (list []base, missing []string, err error) {
	if c.Newest == 0 && len(c.From) == 0 {
		return nil, nil, nil
	}
	o, err := r.Inspect(ctx)
	if err != nil {
		return nil, nil, err
	}
	i := slices.IndexFunc(o.Apps, func(a release.AppInfo) bool { return a.App == c.App })
	if i < 0 {
		return nil, nil, nil
	}
	app := o.Apps[i]
	var versions []string
	if i := slices.IndexFunc(app.Channels, func(x *release.Channel) bool { return x.Channel == c.Channel }); i >= 0 {
		versions = append([]string{app.Channels[i].Version}, app.Channels[i].Previous...)
	}
	for _, x := range app.Releases { // newest first: a channel that is new has none, and promote brings a release to machines of another one
		if x.Withdrawn == "" && !slices.Contains(versions, x.Version) {
			versions = append(versions, x.Version)
		}
	}
	versions = slices.DeleteFunc(versions, func(v string) bool { // a version that is restored gets no patch from those that came after it
		return v == c.Version || slices.ContainsFunc(app.Releases, func(x release.ReleaseInfo) bool {
			return x.Version == v && x.Platform == rel.Platform && x.Published.After(rel.Published)
		})
	})
	versions = append(versions[:min(c.Newest, len(versions))], c.From...)
	have, err := r.Patches(ctx, rel)
	if err != nil {
		return nil, nil, err
	}
	for _, a := range have {
		if a.Kind == "P" {
			versions = append(versions, a.From)
		}
	}
	for i, v := range versions {
		if slices.Contains(versions[:i], v) {
			continue
		}
		j := slices.IndexFunc(app.Releases, func(x release.ReleaseInfo) bool {
			return x.Version == v && x.Platform == rel.Platform && x.Version != rel.Version
		})
		why := ""
		switch {
		case j < 0:
			why = fmt.Sprintf("there is no %s@%s for %s to patch from", c.App, v, c.Platform)
		case app.Releases[j].Withdrawn != "":
			why = fmt.Sprintf("%s@%s was withdrawn: no patch from it", c.App, v)
		default:
			b := base{rel: app.Releases[j].Release}
			if k := slices.IndexFunc(have, func(a release.Artefact) bool { return a.Kind == "P" && a.From == v }); k >= 0 {
				b.patch = &have[k]
			}
			list = append(list, b)
		}
		if why != "" && slices.Contains(c.From, v) {
			missing = append(missing, why)
		}
	}
	return list, missing, nil
}

// addPatch makes one patch, and publishes it if it is worth it. If not, one that was there already and is to be made again is taken back.
func (w *patching) addPatch(ctx context.Context, old *stored, again string) (made MadePatch, err error) {
	r, rel, c := w.r, w.rel, w.c
	made.From, made.Again = old.ref.Version, again
	from, to := patchFiles(old.t.Info, w.new.t.Info)
	if err := old.check(ctx, from); err != nil {
		return made, err
	}
	if err := w.new.check(ctx, to); err != nil {
		return made, err
	}
	draft, err := newDraft(r, rel.App+"-"+rel.Version+".from-"+made.From+".patch")
	if err != nil {
		return made, err
	}
	defer draft.Close()
	o := delta.Options{Memory: cmp.Or(c.Memory, delta.DefaultMemory(old.t.Info, w.new.t.Info))}
	debug.FreeOSMemory() // what the archive took, up to 300 MiB
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(o.Memory + delta.BesideMemory))
	if c.Progress != nil {
		o.Progress = func(done, total int64) { c.Progress(made.From, done, total) }
	}
	whole := rel.Tree().Bytes
	if a := rel.Archive(); a != nil {
		whole = a.Bytes
	}
	most := int64(patchShare * float64(whole))
	err = draft.fill(func(b io.Writer) error {
		_, err := delta.Diff(ctx, old.tree(), w.new.tree(), &atMost{b, most}, o)
		return err
	})
	if ctx.Err() == nil { // whatever came of it
		if err := old.still(from); err != nil {
			return made, err
		}
		if err := w.new.still(to); err != nil {
			return made, err
		}
	}
	if made.Bytes = most; errors.Is(err, errNotWorth) {
		if again != "" {
			_, err = r.Update(ctx, func(tx *release.Tx) error { return tx.RemovePatch(rel.App, rel.Version, rel.Platform, made.From) })
			return made, err
		}
		return made, nil
	}
	if err != nil {
		return made, err
	}
	made.Bytes = draft.bytes
	var p release.Patch
	if made.Bytes < release.MaxSmallPatch {
		if p.Data, err = os.ReadFile(draft.path()); err != nil {
			return made, err
		}
	}
	var t *piece.Torrent
	if p.Artefact, p.Metainfo, t, err = draft.describe(ctx, "P"); err != nil {
		return made, err
	}
	if err := draft.keep(ctx, t); err != nil {
		return made, err
	}
	p.From, p.Base = made.From, old.t.Key()
	_, err = r.Update(ctx, func(tx *release.Tx) error {
		return tx.AddPatches(rel.App, rel.Version, rel.Platform, []release.Patch{p})
	})
	if made.Kept = err == nil; made.Kept && again != "" {
		err = r.Touch()
	}
	return made, err
}

// errNotWorth is that a patch has so many bytes that it is not worth the rest of the work.
var errNotWorth = errors.New("not clearly smaller than the whole")

// atMost takes so many bytes.
type atMost struct {
	w    io.Writer
	left int64
}

func (a *atMost) Write(b []byte) (int, error) {
	if a.left -= int64(len(b)); a.left < 0 {
		return 0, errNotWorth
	}
	return a.w.Write(b)
}
