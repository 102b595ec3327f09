package seeder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"

	"shoal/internal/deliver"
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
	// Indexing is told how far the index of blocks is, and Progress how far a patch is; Made when it is done, and on offer if it is worth it. Each may be nil.
	Indexing func(done, total int64)
	Progress func(from string, done, total int64)
	Made     func(p MadePatch)
}

// MadePatch is a patch that was made.
type MadePatch struct {
	From  string
	Bytes int64 // of one that is not kept: it would have more
	Kept  bool  // it is clearly smaller than the archive, and published
}

// patchShare is how much of the archive's size, or the content's if there is none, a patch may have to be worth it.
const patchShare = 0.6

// AddPatches makes the patches that a published release has not yet, from the newest version on, and publishes each when it is ready. Versions whose content is not
// in the repository any more, or cannot be read, are told of in notices.
func AddPatches(ctx context.Context, r *release.Repository, c PatchConfig) (notices []string, err error) {
	rel, err := r.Lookup(ctx, c.App, c.Version, c.Platform)
	if err != nil {
		return nil, err
	}
	if rel == nil {
		return nil, fmt.Errorf("%s@%s for %s %w", c.App, c.Version, c.Platform, release.ErrNoRelease)
	}
	old, missing, err := patchBases(ctx, r, rel, c)
	if err != nil {
		return nil, err
	}
	contents, err := r.Live(ctx)
	if err != nil {
		return missing, err
	}
	there, err := openContent(r, contents, rel)
	if err != nil {
		return missing, err
	}
	if err := addIndex(ctx, r, rel, *there, c.Indexing); err != nil {
		return missing, fmt.Errorf("indexing %s: %w", rel.Ref(), err)
	}
	for _, from := range old {
		if from.Tree().V2 == rel.Tree().V2 {
			continue
		}
		begin, err := openContent(r, contents, from)
		if errors.Is(err, os.ErrNotExist) {
			missing = append(missing, fmt.Sprintf("the content of %s is not in the repository any more: no patch from it", from.Ref()))
			continue
		}
		if err != nil { // the release is live, and other versions may do
			missing = append(missing, fmt.Sprintf("the content of %s cannot be read: no patch from it: %v", from.Ref(), err))
			continue
		}
		made, err := addPatch(ctx, r, rel, from, *begin, *there, c)
		if err != nil {
			return missing, fmt.Errorf("patching %s to %s: %w", from.Ref(), rel.Ref(), err)
		}
		if c.Made != nil {
			c.Made(made)
		}
	}
	return missing, nil
}

// patchBases are the releases that patches are to begin with, the likeliest first, without those that there is a patch from. missing
// says which of c.From cannot be.
func patchBases(ctx context.Context, r *release.Repository, rel *release.Release, c PatchConfig) (list []*release.Release, missing []string, err error) {
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
	versions = slices.DeleteFunc(versions, func(v string) bool { return v == c.Version })
	versions = append(versions[:min(c.Newest, len(versions))], c.From...)
	have, err := r.Patches(ctx, rel)
	if err != nil {
		return nil, nil, err
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
		case !slices.ContainsFunc(have, func(a release.Artefact) bool { return a.From == v }):
			list = append(list, app.Releases[j].Release)
		}
		if why != "" && slices.Contains(c.From, v) {
			missing = append(missing, why)
		}
	}
	return list, missing, nil
}

// openContent is the content of a release as it lies in the repository.
func openContent(r *release.Repository, contents []*release.Live, rel *release.Release) (*delta.Tree, error) {
	a := rel.Tree()
	i := slices.IndexFunc(contents, func(l *release.Live) bool { return l.App == rel.App && l.Artefact.V2 == a.V2 })
	if i < 0 {
		return nil, fmt.Errorf("the metainfo of %s: %w", rel.Ref(), os.ErrNotExist)
	}
	packed, err := contents[i].Metainfo()
	if err != nil {
		return nil, err
	}
	t, err := deliver.UnpackMetainfo(packed, a)
	if err != nil {
		return nil, err
	}
	inPlace, err := r.InPlace()
	if err != nil {
		return nil, err
	}
	path := cmp.Or(inPlace[a.V2], filepath.Join(r.ContentDir(a.V2), a.Name))
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	tree := delta.Dir(t.Info, path)
	return &tree, nil
}

// addPatch makes one patch, and publishes it if it is worth it.
func addPatch(ctx context.Context, r *release.Repository, rel, from *release.Release, old, new delta.Tree, c PatchConfig) (made MadePatch, err error) {
	made.From = from.Version
	draft, err := newDraft(r, rel.App+"-"+rel.Version+".from-"+from.Version+".patch")
	if err != nil {
		return made, err
	}
	defer draft.Close()
	o := delta.Options{Memory: cmp.Or(c.Memory, delta.DefaultMemory(old.Info, new.Info))}
	debug.FreeOSMemory() // what the archive took, up to 300 MiB
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(o.Memory + delta.BesideMemory))
	if c.Progress != nil {
		o.Progress = func(done, total int64) { c.Progress(from.Version, done, total) }
	}
	whole := rel.Tree().Bytes
	if a := rel.Archive(); a != nil {
		whole = a.Bytes
	}
	most := int64(patchShare * float64(whole))
	err = draft.fill(func(w io.Writer) error {
		_, err := delta.Diff(ctx, old, new, &atMost{w, most}, o)
		return err
	})
	if made.Bytes = most; errors.Is(err, errNotWorth) {
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
	p.From, p.Base = from.Version, from.Tree().V2
	_, err = r.Update(ctx, func(tx *release.Tx) error {
		return tx.AddPatches(rel.App, rel.Version, rel.Platform, []release.Patch{p})
	})
	made.Kept = err == nil
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
