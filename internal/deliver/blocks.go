package deliver

import (
	"context"
	"fmt"
	"slices"

	"shoal/internal/release"
	"shoal/piece"
	"shoal/piece/blocks"
	"shoal/piece/delta"
	"shoal/swarm"
)

// What changed files have in common with older versions, in blocks of 16 KiB and wherever these lie there, is found with the release's block index. That is fetched, and the old
// files are read, only if the result may change what is cheapest.

// blockSearch is what an index has led to.
type blockSearch struct {
	index *blocks.Index
	old   []blocks.Old
	found *blocks.Found
	err   error // why there is none
}

// blockIndex is the release's block index; nil if it has none.
func (s *survey) blockIndex() *release.Artefact {
	i := slices.IndexFunc(s.patches, func(a release.Artefact) bool { return a.Kind == "I" })
	if i < 0 || s.carried {
		return nil
	}
	return &s.patches[i]
}

// worthSearching says whether an index may save more than it costs: hardly ever if there is a patch, which has the same blocks in it as copies.
func (s *survey) worthSearching() bool {
	a := s.blockIndex()
	if a == nil || s.blocks != nil || s.tree == nil || !slices.ContainsFunc(s.versions, func(v *version) bool { return !v.alien }) {
		return false
	}
	p := s.plan()
	if slices.ContainsFunc(p.Candidates, func(c Candidate) bool { return c.Way == WayPatch && c.Err == "" }) {
		return false
	}
	missing := int64(0)
	for i, n := range s.reusable() {
		if f := &s.tree.Info.Files[i]; f.Symlink == nil && f.Length > piece.BlockSize {
			missing += f.Length - n
		}
	}
	return p.Chosen().Fetch > 4*a.Bytes && missing > 4*a.Bytes
}

// searchBlocks fetches the index and looks for blocks. That it cannot be had is no error: other ways lead to the release.
func (s *stager) searchBlocks(ctx context.Context) error {
	v := &s.survey
	if !v.worthSearching() {
		return nil
	}
	a := v.blockIndex()
	v.blocks = &blockSearch{}
	b, err := s.Release.Trust.Beside(ctx, v.release, a)
	if err == nil {
		s.out.extra[swarm.Origin] += int64(len(b))
		err = v.searchIn(ctx, b, s.readingAs("looking for equal blocks in older versions"))
	}
	v.blocks.err = err
	return ctx.Err()
}

// searched says whether it is known which blocks are here.
func (s *survey) searched() bool {
	return s.blocks != nil && s.blocks.found != nil && s.blocks.err == nil
}

// searchIn reads an index and the files of old versions that the new one has no more, for files that are not here.
func (s *survey) searchIn(ctx context.Context, index []byte, progress func(done, total int64)) (err error) {
	in, b := s.tree.Info, s.blocks
	if b.index, err = blocks.Parse(index, in); err != nil {
		return err
	}
	var files []int
	for i, n := range s.reusable() {
		if n < in.Files[i].Length {
			files = append(files, i)
		}
	}
	for _, v := range s.versions {
		if v.alien {
			continue
		}
		o := blocks.Old{Tree: delta.Tree{Info: v.info, Open: v.source}}
		for i := range v.info.Files {
			f := &v.info.Files[i]
			if _, same := in.FileByRoot(f.Root); f.Symlink == nil && f.Length > 0 && !same {
				o.Files = append(o.Files, i)
			}
		}
		b.old = append(b.old, o)
	}
	b.found, err = blocks.Search(ctx, b.index, files, b.old, progress)
	return err
}

// fillBlocks puts the blocks that were found into the files which are not here as a whole.
func (s *stager) fillBlocks(ctx context.Context) error {
	if !s.survey.searched() {
		return nil
	}
	b := s.survey.blocks
	for i := range s.info.Files {
		if b.found.Bytes(i) == 0 || s.parts.Has(i) {
			continue
		}
		if err := s.fillFile(ctx, b, i); err != nil {
			return fmt.Errorf("blocks of %s: %w", s.info.Files[i].Name(s.info), err)
		}
	}
	return nil
}

func (s *stager) fillFile(ctx context.Context, b *blockSearch, file int) error {
	var at blocks.Place
	var open delta.Source // what is read from: most blocks of a file come from one other
	defer func() {
		if open != nil {
			open.Close()
		}
	}()
	return s.parts.Fill(ctx, file, b.index.Leaves(file), func(block int, buf []byte) bool {
		p, ok := b.found.At(file, block)
		if !ok {
			return false
		}
		if open == nil || p.Tree != at.Tree || p.File != at.File {
			f, err := b.old[p.Tree].Open(p.File)
			if err != nil {
				return false
			}
			if open != nil {
				open.Close()
			}
			open, at = f, p
		}
		n, _ := open.ReadAt(buf, p.Offset)
		return n == len(buf)
	})
}
