package seeder

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"shoal/internal/release"
	"shoal/piece/blocks"
)

// leastIndexed is how large a release must be for an index of its blocks, in bytes: what smaller ones can save is less than their description has.
const leastIndexed = 1 << 20

// addIndex publishes the index of the release's blocks, for machines that have a version there is no patch from, unless it is there already.
func (w *patching) addIndex(ctx context.Context) error {
	r, rel, info := w.r, w.rel, w.new.t.Info
	if info.Length < leastIndexed || blocks.Size(info) > release.MaxIndex {
		return nil
	}
	have, err := r.Patches(ctx, rel)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(have, func(a release.Artefact) bool { return a.Kind == "I" })
	if i >= 0 {
		if b, err := r.Beside(ctx, rel, &have[i]); err == nil {
			if _, err := blocks.Parse(b, info); err == nil {
				return nil
			}
		}
	}
	var b bytes.Buffer
	err = blocks.Write(ctx, &b, w.new.tree(), w.c.Indexing)
	if err == nil {
		_, err = blocks.Parse(b.Bytes(), info) // it may have been made of other bytes than what was signed
	}
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &changeError{w.new, err.Error()}
	}
	x := release.Patch{Artefact: release.Artefact{Kind: "I", Name: rel.Tree().Name + ".blocks", Bytes: int64(b.Len())}, Data: b.Bytes()}
	if _, err := r.Update(ctx, func(tx *release.Tx) error {
		return tx.AddPatches(rel.App, rel.Version, rel.Platform, []release.Patch{x})
	}); err != nil {
		return fmt.Errorf("indexing %s: %w", rel.Ref(), err)
	}
	if i >= 0 {
		w.notice("the index of blocks of %s was lost: it was made again", rel.Ref())
	}
	return nil
}
