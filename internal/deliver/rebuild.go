package deliver

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"shoal/internal/release"
	"shoal/piece"
	"shoal/swarm"
)

// byArchive fetches the archive and unpacks it as it comes.
func (s *stager) byArchive(ctx context.Context, c *Candidate) error {
	return s.stream(ctx, c.artefact, func(r io.Reader) error {
		a, err := openArchive(r, mustV2(s.Release.Tree()))
		if err != nil {
			return err
		}
		defer a.Close()
		if err := s.learn(a.info); err != nil {
			return err
		}
		return a.files(s.create)
	})
}

// create opens a file of the tree for what an archive or a patch has of it; nil if it is here.
func (s *stager) create(file int) (io.WriteCloser, error) {
	if s.parts.Has(file) {
		return nil, nil
	}
	w, err := s.parts.Create(file)
	if err != nil {
		return nil, err // beware of a nil *PartWriter that is no nil io.WriteCloser
	}
	return w, nil
}

// stream fetches an artefact and has use read it from its begin on, as it becomes verified.
func (s *stager) stream(ctx context.Context, a *release.Artefact, use func(io.Reader) error) error {
	torrent, err := s.describeArtefact(ctx, a)
	if err != nil {
		return err
	}
	r, t, err := s.fetchArtefact(a, torrent)
	if err != nil {
		return err
	}
	g, running := errgroup.WithContext(ctx)
	g.Go(func() error { return r.follow(running, t) })
	g.Go(func() error { return use(&verifiedReader{ctx: running, t: t, length: torrent.Length}) })
	g.Go(func() error { return s.ungiven(running, t) })
	err = g.Wait()
	if !isClosed(t.Done()) { // another way is gone now: who comes later must not give this one as well
		err = errors.Join(err, t.Close())
	}
	return err
}

// describeArtefact gets the metainfo of an archive or a patch.
func (s *stager) describeArtefact(ctx context.Context, a *release.Artefact) (*piece.Torrent, error) {
	if t := s.survey.begun[a.V2]; t != nil {
		return t, nil
	}
	packed, err := s.Release.Trust.MetainfoOf(ctx, s.Release.Found, a.V2)
	if err != nil {
		return nil, err
	}
	return UnpackMetainfo(packed, a)
}

// fetchArtefact begins to fetch an archive or a patch, and to give it to others.
func (s *stager) fetchArtefact(a *release.Artefact, torrent *piece.Torrent) (*Request, *swarm.Transfer, error) {
	r := s.Request
	r.Found = Found{Torrent: torrent, Release: s.Release}
	s.reach(&r.Found, a.V2)
	r.Peers = s.Peers // those of the repository, and those that the user has named
	r.Select, r.Metadata, r.reading = nil, nil, true
	r.Dir = r.artefactDir(a.V2)
	if r.Artefacts != "" {
		if err := writeTorrent(r.Dir+".torrent", torrent); err != nil {
			return nil, nil, err
		}
	}
	t, err := r.begin(s.node)
	if err != nil {
		return nil, nil, err
	}
	s.out.artefacts = append(s.out.artefacts, t) // whatever becomes of it, its bytes are counted, and others may have them
	return &r, t, nil
}

// verifiedReader reads a file's verified content in order, and waits for what has not come yet.
type verifiedReader struct {
	ctx    context.Context
	t      *swarm.Transfer
	at     int64
	length int64
}

func (r *verifiedReader) Read(b []byte) (int, error) {
	if r.at == r.length {
		return 0, io.EOF
	}
	pieceEnd := r.t.Torrent().PieceLength
	n := min(int64(len(b)), r.length-r.at, pieceEnd-r.at%pieceEnd)
	if err := r.t.ReadAt(r.ctx, b[:n], r.at); err != nil {
		return 0, &sourceError{err}
	}
	r.at += n
	return int(n), nil
}

// reuse copies what older versions have of the tree and what stands in its place has not: whole files by their roots, whatever they are called, and else
// the file of the same path, of whose pieces some may be right.
func (s *stager) reuse(ctx context.Context) error {
	before := s.here()
	if err := s.parts.Adopt(ctx, s.readingAs("checking "+s.info.Name)); err != nil {
		return err
	}
	s.reused += s.here() - before
	moved := s.survey.moved(s.info, s.parts.Has)
	if moved != nil {
		defer moved.close()
	}
	return eachMissing(ctx, s.info, s.parts, func(ctx context.Context, i int) error { return s.reuseFile(ctx, i, moved) })
}

// moved are the files that lie where the tree goes to and may be what it lacks, under other names; nil: there are none.
func (s *survey) moved(in *piece.Info, has func(i int) bool) *twins {
	own := filepath.Join(s.dir, in.Name)
	if !in.Dir || !isDir(own) {
		return nil
	}
	paths, lacks, any := map[string]int{}, map[piece.Hash32]bool{}, false
	for i := range in.Files {
		paths[pathIn(in, i)] = i
		if f := &in.Files[i]; f.Symlink == nil && f.Length > 0 && !has(i) {
			lacks[f.Root], any = true, true
		}
	}
	if !any {
		return nil
	}
	t, err := twinsIn(in, own, func(i int) bool { return !has(i) }, func(name string, _ int64) bool {
		i, ok := paths[name]
		return ok && has(i) && !lacks[in.Files[i].Root]
	})
	if err != nil {
		return nil
	}
	return t
}

func (s *stager) reuseFile(ctx context.Context, i int, moved *twins) error {
	if moved != nil {
		if f := moved.find(i); f != nil {
			if err := s.copyFile(ctx, f, i); err != nil || s.parts.Has(i) {
				return err
			}
		}
	}
	return fromVersions(ctx, s.info, i, s.parts, s.survey.versions, func(f *os.File) error { return s.copyFile(ctx, f, i) })
}

// copyFile copies what is open into the place of a file, and closes it.
func (s *stager) copyFile(ctx context.Context, f *os.File, to int) error {
	defer f.Close()
	if err := s.parts.Copy(ctx, to, f); err != nil {
		return err
	}
	if s.parts.Has(to) {
		s.mu.Lock()
		s.reused += s.info.Files[to].Length
		s.mu.Unlock()
	}
	return nil
}
