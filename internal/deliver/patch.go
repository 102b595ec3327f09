package deliver

import (
	"bytes"
	"context"
	"io"
	"runtime"

	"golang.org/x/sync/errgroup"

	"shoal/piece"
	"shoal/piece/delta"
	"shoal/swarm"
)

// byPatch reads a patch, or fetches it if it is not a small one, and applies it as it comes.
func (s *stager) byPatch(ctx context.Context, c *Candidate) error {
	apply := func(r io.Reader) error { return s.patch(ctx, c, r) }
	if c.artefact.V2 != "" {
		return s.stream(ctx, c.artefact, apply)
	}
	b, err := s.Release.Trust.SmallPatch(ctx, s.Release.Found, c.artefact)
	if err != nil {
		return err
	}
	s.out.extra[swarm.Origin] += int64(len(b))
	return apply(bytes.NewReader(b))
}

// patch makes of the old version what the patch has, and copies what has not changed meanwhile.
func (s *stager) patch(ctx context.Context, c *Candidate, r io.Reader) error {
	tree := s.Release.Tree()
	copies, running := errgroup.WithContext(ctx)
	copies.SetLimit(runtime.GOMAXPROCS(0))
	sink := &patchSink{s: s, begin: func(changes delta.Changes) {
		for i, change := range changes.Files {
			if f := &s.info.Files[i]; f.Length == 0 || f.Symlink != nil || s.parts.Has(i) || change.Kind != delta.Same && change.Kind != delta.Renamed {
				continue
			}
			copies.Go(func() error { return s.copyOld(running, c.old, change.Old, i) })
		}
	}}
	err := delta.Apply(ctx, delta.Tree{Info: c.old.info, Open: c.old.source}, r, delta.Want{V2: mustV2(tree), Length: tree.Bytes}, sink)
	if end := copies.Wait(); end != nil {
		return end
	}
	return err
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
