package deliver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"shoal/internal/release"
	"shoal/piece"
	"shoal/piece/delta"
	"shoal/swarm"
)

// byPatch reads a patch, or fetches it if it is not a small one, and applies it as it comes.
func (s *stager) byPatch(ctx context.Context, c *Candidate) error {
	apply := func(r io.Reader) error { return s.patch(ctx, c, r) }
	if !c.artefact.IsTarget() {
		return s.stream(ctx, c.artefact, apply)
	}
	b, err := s.Release.Trust.Beside(ctx, s.Release.Found, c.artefact)
	switch {
	case err == nil:
	case ctx.Err() != nil || c.artefact.V2 == "":
		return err
	default: // no server answers: others who have it may
		return s.stream(ctx, c.artefact, apply)
	}
	s.out.extra[swarm.Origin] += int64(len(b))
	if err := apply(bytes.NewReader(b)); err != nil || c.artefact.V2 == "" || !s.Gives && s.Artefacts == "" {
		return err
	}
	return s.offer(ctx, c.artefact, b)
}

// offer gives others a patch that came with the signed documents, for when nobody serves these any more.
func (s *stager) offer(ctx context.Context, a *release.Artefact, b []byte) error {
	torrent, err := s.describeArtefact(ctx, a)
	if err != nil {
		return err
	}
	parts, err := s.node.Parts(s.artefactDir(a.V2), torrent.Info)
	if err != nil {
		return err
	}
	w, err := parts.Create(0)
	if err == nil {
		_, err = w.Write(b)
		err = errors.Join(err, w.Close())
	}
	if err := errors.Join(err, parts.Close()); err != nil {
		return err
	}
	r, t, err := s.fetchArtefact(a, torrent)
	if err != nil {
		return err
	}
	return r.follow(ctx, t)
}

// patch makes of the old version what the patch has, and copies what has not changed meanwhile.
func (s *stager) patch(ctx context.Context, c *Candidate, r io.Reader) error {
	tree := s.Release.Tree()
	copies, running := errgroup.WithContext(ctx)
	sink := &patchSink{s: s, begin: func(changes delta.Changes) {
		var next atomic.Int64
		for range runtime.GOMAXPROCS(0) {
			copies.Go(func() error {
				for i := int(next.Add(1) - 1); i < len(changes.Files); i = int(next.Add(1) - 1) {
					if err := s.copySame(running, c.old, changes.Files[i], i); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}}
	err := delta.Apply(ctx, delta.Tree{Info: c.old.info, Open: c.old.source}, r, delta.Want{V2: mustV2(tree), Length: tree.Bytes}, sink)
	if end := copies.Wait(); end != nil {
		return end
	}
	return err
}

// copySame copies an old file into the place of a new one that is the same or only renamed, unless it is there.
func (s *stager) copySame(ctx context.Context, old *version, change delta.Change, i int) error {
	if f := &s.info.Files[i]; f.Length == 0 || f.Symlink != nil || s.parts.Has(i) || change.Kind != delta.Same && change.Kind != delta.Renamed {
		return nil
	}
	return old.give(ctx, change.Old, func(f *os.File) error { return s.copyFile(ctx, f, i) })
}

// patchSink is where a patch's files go; it is a delta.Sink.
type patchSink struct {
	s     *stager
	begin func(delta.Changes)
}

// Begin implements delta.Sink.
func (p *patchSink) Begin(info *piece.Info, c delta.Changes) error {
	if err := p.s.learn(info); err != nil {
		return err
	}
	p.begin(c)
	return nil
}

// Create implements delta.Sink.
func (p *patchSink) Create(file int) (io.WriteCloser, error) { return p.s.create(file) }
