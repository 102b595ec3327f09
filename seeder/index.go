package seeder

import (
	"bytes"
	"context"
	"slices"

	"shoal/internal/release"
	"shoal/piece/blocks"
	"shoal/piece/delta"
)

// leastIndexed is how large a release must be for an index of its blocks, in bytes: what smaller ones can save is less than their description has.
const leastIndexed = 1 << 20

// addIndex publishes the index of a release's blocks, for machines that have a version there is no patch from, unless it is there already.
func addIndex(ctx context.Context, r *release.Repository, rel *release.Release, tree delta.Tree, progress func(done, total int64)) error {
	if tree.Info.Length < leastIndexed || blocks.Size(tree.Info) > release.MaxIndex {
		return nil
	}
	have, err := r.Patches(ctx, rel)
	if err != nil || slices.ContainsFunc(have, func(a release.Artefact) bool { return a.Kind == "I" }) {
		return err
	}
	var b bytes.Buffer
	if err := blocks.Write(ctx, &b, tree, progress); err != nil {
		return err
	}
	x := release.Patch{Artefact: release.Artefact{Kind: "I", Name: rel.Tree().Name + ".blocks", Bytes: int64(b.Len())}, Data: b.Bytes()}
	_, err = r.Update(ctx, func(tx *release.Tx) error {
		return tx.AddPatches(rel.App, rel.Version, rel.Platform, []release.Patch{x})
	})
	return err
}
