package deliver

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"shoal/internal/disk"
	"shoal/internal/release"
	"shoal/piece"
	"shoal/swarm"
)

// Staged is content that Stage has brought here. Whatever came of it over the net is seeded until Close.
type Staged struct {
	Plan     *Plan           // of a release; else nil
	Transfer *swarm.Transfer // of the content itself

	request   *Request
	artefacts []*swarm.Transfer // archives and patches that were fetched, and are given to others
	extra     [swarm.Classes]int64
	built     int64 // bytes of the content that were unpacked or patched in this run
	patched   bool  // by patches and no archive: of what was here and what came of them
	leftover  []piece.Hash32
}

// Torrent describes the content.
func (s *Staged) Torrent() *piece.Torrent { return s.Transfer.Torrent() }

// Stats counts all transfers together. What is wanted and here is that of the content; From is what came over the net as it came, compressed or not, and what was
// here: also what a patch has made of older versions, which is all that it has made but for its own bytes.
func (s *Staged) Stats() swarm.Stats {
	total := s.Transfer.Stats()
	reused := total.From[swarm.Reuse] - s.built
	for _, t := range s.artefacts {
		one := t.Stats()
		for class := range total.From {
			if swarm.Class(class) != swarm.Reuse {
				total.From[class] += one.From[class]
			}
			total.To[class] += one.To[class]
		}
		total.Wasted += one.Wasted
		total.FromWebSeeds += one.FromWebSeeds
		total.PeakDown, total.PeakUp = max(total.PeakDown, one.PeakDown), max(total.PeakUp, one.PeakUp)
		for i := range total.Held {
			total.Held[i] += one.Held[i]
		}
		for i := range total.Idle {
			total.Idle[i] += one.Idle[i]
		}
	}
	for class, n := range s.extra {
		total.From[class] += n
	}
	if s.patched {
		came := sum(total.From) - total.From[swarm.Reuse]
		reused = max(reused, min(total.From[swarm.Reuse], total.Wanted-came))
	}
	total.From[swarm.Reuse] = max(0, reused)
	return total
}

// Close ends the seeding, and removes archive and patch, unless Request.Artefacts keeps them: then what was not fetched to its end goes.
func (s *Staged) Close() error {
	var err error
	for _, t := range append(slices.Clone(s.artefacts), s.Transfer) {
		if t != nil {
			err = errors.Join(err, t.Close())
		}
	}
	for _, v2 := range s.leftover {
		dir := s.request.artefactDir(hex.EncodeToString(v2[:]))
		err = errors.Join(err, swarm.DropParts(dir, v2))
		if s.request.Artefacts != "" && os.Remove(dir) == nil { // there is nothing in it
			err = errors.Join(err, os.Remove(dir+".torrent"))
		}
	}
	return err
}

// Stage brings what r.Found leads to to r.Dir/NAME, and returns once everything is verified and in place. A release comes by the cheapest way: see Plan. Its
// files are put together in the place of the tree's own fetch, and whatever has made a byte of them, the tree's hashes decide; when a way fails, what it
// has brought is kept and the next one fetches the rest. What is not a release, or only a part of one, is fetched as it is.
func Stage(ctx context.Context, node *swarm.Node, r Request) (*Staged, error) {
	s := &stager{Request: r, node: node, out: &Staged{request: &r}, began: time.Now()}
	if err := s.run(ctx); err != nil {
		return nil, errors.Join(err, s.out.closeEarly())
	}
	return s.out, nil
}

// closeEarly ends what was begun, and leaves what it has brought to the next try.
func (s *Staged) closeEarly() error {
	s.leftover = nil
	return s.Close()
}

// PlanRelease says how Stage would bring a release here, without fetching more of it than its description.
func PlanRelease(ctx context.Context, r Request) (*Plan, error) {
	s := &stager{Request: r, out: new(Staged)}
	defer s.letGo()
	if err := s.look(ctx); err != nil {
		return nil, err
	}
	return s.survey.plan(), nil
}

// stager is one Stage under way.
type stager struct {
	Request
	node   *swarm.Node
	survey survey
	out    *Staged

	info  *piece.Info  // what the tree is, once anything has told
	parts *swarm.Parts // the place of its files, from then on until its transfer begins

	began time.Time

	mu     sync.Mutex
	reused int64 // bytes that were copied from older versions
	before int64 // bytes that a former run has left
}

func (s *stager) run(ctx context.Context) error {
	if s.Release == nil || s.Select != nil || s.Stdout != nil {
		if s.Release != nil && s.Torrent == nil {
			if err := s.describe(ctx); err != nil {
				return err
			}
		}
		defer s.closeParts()
		if err := s.alone(ctx); err != nil {
			return err
		}
		return s.finish(ctx)
	}
	defer s.letGo()
	if err := s.look(ctx); err != nil {
		return err
	}
	defer s.closeParts()
	for {
		p := s.survey.plan()
		s.out.Plan = p
		if s.Planned != nil {
			s.Planned(p)
		}
		c, had := *p.Chosen(), s.here()
		err := s.bring(ctx, &c)
		if err == nil && (c.Way == WayTree || s.parts != nil && s.parts.Missing() == 0) {
			break
		}
		if err == nil {
			err = fmt.Errorf("what it made %w", piece.ErrCorrupt)
		}
		if ctx.Err() != nil || c.Way == WayTree || isLocal(err) {
			return err
		}
		if err := s.giveUp(ctx, &c, had, err); err != nil {
			return err
		}
	}
	if err := s.closeParts(); err != nil {
		return err
	}
	return s.finish(ctx)
}

// giveUp has the next plan do without a way. had is how much was here before it. What it has made of a file that is not right as a whole counts by piece, once the tree's
// description tells what its pieces are.
func (s *stager) giveUp(ctx context.Context, c *Candidate, had int64, why error) error {
	f := failure{err: why}
	s.survey.failed[key(c.Way, c.From)] = f
	if err := s.describeIfWorth(ctx); err != nil {
		return err
	}
	if s.parts != nil {
		if s.survey.tree != nil {
			if err := s.parts.Describe(ctx, s.survey.tree.Info); err != nil {
				return err
			}
		}
		if s.survey.parts = s.here(); s.survey.parts > max(had, s.before) {
			f.short = s.parts.Missing()
			s.survey.failed[key(c.Way, c.From)] = f
		}
	}
	return s.reconsider(ctx)
}

// here is how many bytes of the tree were put together.
func (s *stager) here() int64 {
	if s.parts == nil {
		return 0
	}
	return s.Release.Tree().Bytes - s.parts.Missing()
}

// letGo closes what was opened of older versions.
func (s *stager) letGo() {
	for _, v := range s.survey.versions {
		v.close()
	}
}

// artefactDir is where an archive or a patch is fetched to, by its v2 info hash in hex.
func (r *Request) artefactDir(v2 string) string {
	if r.Artefacts == "" {
		return r.Dir
	}
	return filepath.Join(r.Artefacts, v2)
}

// isLocal says whether no other way would fare better.
func isLocal(err error) bool {
	return errors.Is(err, ErrDeadline) || disk.IsNoSpace(err) || errors.Is(err, disk.ErrHeld) || errors.Is(err, fs.ErrPermission)
}

// look finds out what there is to decide with.
func (s *stager) look(ctx context.Context) (err error) {
	state := installed{s.StateDir}
	v := &s.survey
	*v = survey{release: s.Release.Found, tree: s.Torrent, source: s.class(), carried: s.carried, dir: s.Dir, artefactDir: s.artefactDir, parts: -1,
		begun: map[string]*piece.Torrent{}, failed: map[string]failure{}}
	if v.tree == nil {
		v.tree = state.torrent(v.release.Tree().V2)
	}
	if !v.carried {
		// Patches are an offer: without them a release comes another way.
		if v.patches, err = s.Release.Trust.Patches(ctx, v.release); err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if v.versions, err = s.Request.versions(ctx, v.patches); err != nil {
		return err
	}
	if err := s.describeBegun(ctx); err != nil {
		return err
	}
	return s.reconsider(ctx)
}

// reconsider gets the tree's description, and its index of blocks, when they may change the decision.
func (s *stager) reconsider(ctx context.Context) error {
	if err := s.describeIfWorth(ctx); err != nil {
		return err
	}
	if v := &s.survey; v.tree != nil && v.left == nil {
		v.left = swarm.LeftIn(s.Dir, v.tree.Info)
		v.placed = v.inPlace()
		v.countMoved()
	}
	return s.searchBlocks(ctx)
}

func (s *stager) describeIfWorth(ctx context.Context) error {
	if s.survey.tree != nil || !s.worthDescribing() {
		return nil
	}
	if err := s.describe(ctx); err != nil {
		return err
	}
	s.survey.tree = s.Torrent
	return nil
}

// worthDescribing says whether the tree's metainfo may save more than it costs: when something lies here that may be of the release, and no other way is cheap.
func (s *stager) worthDescribing() bool {
	v := &s.survey
	_, err := os.Lstat(filepath.Join(s.Dir, v.release.Tree().Name))
	if err != nil && len(v.versions) == 0 && swarm.Staged(s.Dir, mustV2(v.release.Tree())) == 0 {
		return false
	}
	cheapest := v.plan().Chosen()
	return cheapest.Way == WayTree || cheapest.Fetch > 4*v.metainfo()
}

// describe gets the tree's metainfo: from the state directory, or from the repository.
func (s *stager) describe(ctx context.Context) error {
	if t := (installed{s.StateDir}).torrent(s.Release.Tree().V2); t != nil {
		s.Torrent = t
		return nil
	}
	return s.Found.describe(ctx)
}

// learn takes the description of the tree, whose hash has been checked, and opens the place of its files.
func (s *stager) learn(info *piece.Info) (err error) {
	if s.parts != nil {
		return nil
	}
	if s.info = info; s.survey.tree != nil {
		s.info = s.survey.tree.Info // it has the piece layers too
	}
	if s.parts, err = s.node.Parts(s.Dir, s.info); err == nil {
		s.before = s.here()
	}
	return err
}

func (s *stager) closeParts() error {
	if s.parts == nil {
		return nil
	}
	p := s.parts
	s.parts = nil
	return p.Close()
}

// bring goes one way as far as it leads.
func (s *stager) bring(ctx context.Context, c *Candidate) error {
	switch c.Way {
	case WayArchive:
		return s.byArchive(ctx, c)
	case WayPatch:
		return s.byPatch(ctx, c)
	}
	if s.survey.tree == nil {
		if err := s.describe(ctx); err != nil {
			return err
		}
		s.survey.tree = s.Torrent
	}
	if len(s.survey.versions) == 0 && !(s.Release.IsTree() && isDir(filepath.Join(s.Dir, s.Release.Tree().Name))) {
		return nil
	}
	if err := s.learn(s.survey.tree.Info); err != nil {
		return err
	}
	if err := s.reuse(ctx); err != nil {
		return err
	}
	return s.fillBlocks(ctx)
}

// finish has the tree's own transfer fetch what is missing, which may be nothing, and put everything in place.
func (s *stager) finish(ctx context.Context) error {
	r := s.Request
	if r.Torrent == nil && s.survey.tree != nil {
		r.Torrent = s.survey.tree
	}
	if r.Torrent == nil && s.info != nil {
		r.Torrent = &piece.Torrent{Info: s.info}
	}
	t, err := Fetch(ctx, s.node, r)
	if err != nil {
		return err
	}
	s.out.Transfer = t
	if r.Release == nil || s.out.Plan == nil {
		return nil
	}
	tree := r.Release.Tree()
	fetched := t.Stats()
	s.out.built = max(0, fetched.From[swarm.Reuse]-s.reused-s.before)
	if s.out.Plan.Chosen().Way == WayTree && len(s.survey.failed) == 0 {
		s.out.built = 0
	}
	s.out.patched = s.tried(WayPatch) && !s.tried(WayArchive)
	for _, a := range append(slices.Clone(s.survey.patches), r.Release.Artefacts...) {
		if v2, err := parseV2(a.V2); err == nil && a.Kind != "T" {
			s.out.leftover = append(s.out.leftover, v2)
		}
	}
	at := filepath.Join(r.Dir, tree.Name)
	if r.Final != nil {
		at = r.Final(t.Torrent().Info)
	}
	if err := (installed{r.StateDir}).keep(t.Torrent(), at, r.Release.App+"@"+r.Release.Version); err != nil {
		return err
	}
	if r.Artefacts == "" {
		s.dropOlder(ctx)
	}
	return nil
}

// tried says whether a way was gone, to its end or not.
func (s *stager) tried(way string) bool {
	return slices.ContainsFunc(s.out.Plan.Candidates, func(c Candidate) bool { return c.Way == way && c.Err != "" }) || s.out.Plan.Chosen().Way == way
}

func mustV2(a *release.Artefact) piece.Hash32 {
	h, err := parseV2(a.V2)
	if err != nil {
		panic("a release document with a hash that is none was let through: " + err.Error())
	}
	return h
}
