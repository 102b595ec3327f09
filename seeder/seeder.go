package seeder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"shoal/internal/deliver"
	"shoal/internal/disk"
	"shoal/internal/webseed"
	"shoal/piece"
	"shoal/swarm"
)

// Config configures a Seeder.
type Config struct {
	// StateDir is where metainfo is kept between runs.
	StateDir string
	// Node is the part in the swarm.
	Node *swarm.Node
	// Trackers and WebSeeds are written into descriptions that are handed out.
	Trackers [][]string
	WebSeeds []string
	// Announce is where the node itself announces; usually its own tracker. May be empty.
	Announce [][]string
	// Plain contents are also served as /NAME and /NAME.torrent.
	Plain bool
	// PieceLength is that of what AddPath describes, see [piece.BuildConfig]. Zero: by size.
	PieceLength int64
	// Progress, asked once for each path that is hashed, returns what is told how far that has come, from
	// many goroutines.
	Progress func(name string) func(done, total int64)
	// Heard is told what peers of a release say of its repository's log, by the node's loops: it must return at once. Nil: nobody is.
	Heard func(checkpoint []byte)
	// Log receives the seeder's log. Nil discards it.
	Log *slog.Logger
}

// maxResponses is how many files are sent over HTTP at the same time.
const maxResponses = 4096

// Seeder offers contents.
type Seeder struct {
	cfg Config
	web webseed.Handler

	looking          sync.Mutex // guards the place of Look
	looked           time.Time
	lookAt, lookFile int // a content, and one of its files

	unsettled atomic.Bool // see Unsettled

	mu       sync.Mutex
	budget   float64 // see SetBudget
	contents []*Content
	byName   map[string]*Content
	state    *Content              // the repository's, for machines that cannot reach us; nil: none
	expected map[string]bool       // names of what is still to be described
	awaited  awaited               // what a repository names and is not on offer yet
	ours     map[[20]byte][20]byte // what trackers may serve: by each name of a content, its first
}

// New makes a Seeder that offers nothing yet.
func New(cfg Config) *Seeder {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Seeder{cfg: cfg, byName: make(map[string]*Content), expected: make(map[string]bool), ours: make(map[[20]byte][20]byte)}
	s.web.Responses = min(disk.Descriptors()/4, maxResponses)                                             // half of the descriptors at most
	s.web.Limit = func(r *http.Request) webseed.Limiter { return cfg.Node.UploadPace(webseed.Remote(r)) } // one limit for peers and HTTP together
	return s
}

// ErrNameTaken says that two contents have the same name, which is their URL.
var ErrNameTaken = errors.New("a content of this name is served already")

// Expect says that contents of these names will be added: until AddPath is through with one, who asks for it is told to
// come again, and not that there is none.
func (s *Seeder) Expect(names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		s.expected[name] = true
	}
}

// AddPath describes the file or directory at path, unless that was done before and nothing has
// changed, and offers it.
func (s *Seeder) AddPath(ctx context.Context, path string) (*Content, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	name := filepath.Base(path)
	if err := s.checkName(name); err != nil {
		return nil, err
	}
	s.Expect(name)
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.expected, name)
	}()
	if t, rec, err := s.recall(path); err == nil && (s.cfg.PieceLength == 0 || t.PieceLength == s.cfg.PieceLength) {
		return s.offer(t, rec, true, s.cfg.Plain, nil)
	}
	dir := filepath.Join(s.cfg.StateDir, "metainfo")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	leaves, err := os.CreateTemp(dir, "leaves-*.tmp")
	if err != nil {
		return nil, err
	}
	defer os.Remove(leaves.Name())
	defer leaves.Close()
	t, report, err := piece.Build(ctx, path, piece.BuildConfig{PieceLength: s.cfg.PieceLength, Leaves: leaves, Progress: s.progress(path)})
	if err != nil {
		return nil, fmt.Errorf("describing %s: %w", path, err)
	}
	rec := record{Path: path, Stamps: make([]disk.Stamp, len(t.Files))}
	for i := range t.Files {
		if rec.Stamps[i], err = stamp(path, t.Info, i); err != nil {
			return nil, err
		}
		if was := report.Stats[i]; t.Files[i].Length > 0 && (was.Size != rec.Stamps[i].Size || was.ModTime != rec.Stamps[i].MtimeNs) {
			return nil, fmt.Errorf("%s: %w", t.Files[i].Name(t.Info), swarm.ErrChanged)
		}
	}
	if err := s.keep(t, rec, leaves); err != nil {
		return nil, err
	}
	return s.offer(t, rec, false, s.cfg.Plain, report.Notices)
}

// AddTorrent offers the content of t that lies at path and was verified just now. leaves is a file with
// the leaf hashes that were found (see piece.VerifyConfig), which stays the caller's; "": they are
// computed when somebody asks for them.
func (s *Seeder) AddTorrent(t *piece.Torrent, path, leaves string) (*Content, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	rec := record{Path: path, Stamps: make([]disk.Stamp, len(t.Files)), leaves: leaves}
	for i := range t.Files {
		if rec.Stamps[i], err = stamp(path, t.Info, i); err != nil {
			return nil, err
		}
	}
	if s.cfg.StateDir != "" {
		if err := s.keep(t, rec, nil); err != nil {
			return nil, err
		}
	}
	return s.offer(t, rec, false, s.cfg.Plain, nil)
}

func (s *Seeder) checkName(name string) error {
	if err := piece.CheckContentName(name); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byName[name] != nil && s.cfg.Plain {
		return fmt.Errorf("%s: %w", name, ErrNameTaken)
	}
	return nil
}

func (s *Seeder) progress(path string) func(done, total int64) {
	if s.cfg.Progress == nil {
		return nil
	}
	return s.cfg.Progress(filepath.Base(path))
}

// offer adds a content to the swarm and to the web.
func (s *Seeder) offer(t *piece.Torrent, rec record, cached, plain bool, notices []string) (*Content, error) {
	c := &Content{Name: t.Name, Path: rec.Path, Dir: t.Dir, Length: t.Length, Files: len(t.Files), Pieces: t.NumPieces(),
		V1: t.V1, V2: t.V2, HasV1: t.HasV1, HasV2: t.HasV2, Private: t.Private, Cached: cached, Notices: notices, plain: plain, release: rec.release, hashes: namesOf(t)}
	shown := *t
	shown.Trackers = append(slices.Clone(t.Trackers), s.cfg.Trackers...)
	shown.WebSeeds = append(slices.Clone(t.WebSeeds), s.cfg.WebSeeds...)
	c.Magnet = shown.Magnet()
	c.Ration = swarm.NewRation(c.Length, s.copies())
	spec := swarm.Spec{Torrent: t, Content: rec.Path, Stamps: rec.stamp, Leaves: rec.leaves, Ration: c.Ration, Trackers: append(slices.Clone(t.Trackers), s.cfg.Announce...)}
	if s.cfg.StateDir != "" {
		c.torrent = s.file(c.Key(), "torrent")
		spec.Torrent, spec.V1, spec.V2, spec.HasV1, spec.HasV2, spec.Private = nil, t.V1, t.V2, t.HasV1, t.HasV2, t.Private
		spec.Alias, _ = t.AliasV1()
		spec.Load = func() (*piece.Torrent, error) { return piece.ReadFile(c.torrent) }
		if p := s.file(c.Key(), "leaves"); exists(p) {
			spec.Leaves = p
		}
	}
	if rec.release != nil {
		spec.Heard = s.cfg.Heard
	}
	s.allow(t) // before the node announces: a tracker's refusal is not asked about again soon
	tr, err := s.cfg.Node.Add(spec)
	if err != nil {
		return nil, fmt.Errorf("offering %s: %w", t.Name, err)
	}
	c.Transfer = tr
	w, index := deliver.WebSeed(t.Info, c.Key(), rec.Path)
	w.Plain, w.Admit, w.Unsent = plain, c.admit, c.Ration.Return
	w.Gone = func(i int, why error) { s.changed(c, why) }
	w.Unchanged = func(i int, fi fs.FileInfo) error {
		if want, _ := rec.stamp(index[i]); !disk.StampOfInfo(fi).Equal(want) {
			return swarm.ErrChanged
		}
		return nil
	}
	c.looks = len(w.Files)
	c.look = func(i int) error {
		want, _ := rec.stamp(index[i])
		return lookAt(filepath.Join(rec.Path, filepath.FromSlash(w.Files[i].Path)), !w.Dir, want)
	}
	if err := s.web.Add(w); err != nil {
		tr.Close()
		return nil, fmt.Errorf("offering %s: %w", t.Name, err)
	}
	s.mu.Lock()
	c.Ration.SetCopies(s.budget)
	s.contents = append(s.contents, c)
	if plain {
		s.byName[c.Name] = c
	}
	s.mu.Unlock()
	return c, nil
}

func (s *Seeder) copies() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.budget
}

// SetBudget bounds how many copies of each content are given in a day to the machines of swarms, over BitTorrent
// and HTTP together: see swarm.Ration. 0, as at the beginning, is any number.
func (s *Seeder) SetBudget(copies float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.budget = copies
	for _, c := range s.contents {
		c.Ration.SetCopies(copies)
	}
}

// changed stops a content whose files are not what was verified.
func (s *Seeder) changed(c *Content, why error) {
	c.mu.Lock()
	first := c.gone == nil
	if first {
		c.gone = why
	}
	c.mu.Unlock()
	if !first {
		return
	}
	if l := c.release; l != nil {
		s.cfg.Log.Warn("content of a release has changed on disk and is not served any more: publish it again from what it was made of", append(whose(l), "err", why)...)
		s.unsettled.Store(true)
	} else {
		s.cfg.Log.Warn("content has changed on disk and is not served any more: run serve again to offer what is there now", "name", c.Name, "err", why)
	}
	c.Transfer.Close()
}

// Contents lists what is on offer.
func (s *Seeder) Contents() []*Content {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.contents)
}

// allow has trackers serve a content under all of its names.
func (s *Seeder) allow(t *piece.Torrent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := namesOf(t)
	for _, hash := range names {
		s.ours[hash] = names[0]
	}
}

// namesOf are the info hashes that a torrent is announced by, that which it is counted by first.
func namesOf(t *piece.Torrent) (list [][20]byte) {
	if t.HasV1 {
		list = append(list, t.V1)
	}
	if t.HasV2 {
		list = append(list, [20]byte(t.V2[:20]))
	}
	if alias, ok := t.AliasV1(); ok {
		list = append(list, alias)
	}
	return list
}

// Allows says whether a tracker may serve this info hash because the content is ours.
func (s *Seeder) Allows(hash [20]byte) bool { _, ok := s.NameOf(hash); return ok }

// NameOf is the first of the info hashes by which a content of ours is known in swarms: a hybrid has several.
func (s *Seeder) NameOf(hash [20]byte) (first [20]byte, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, ok = s.ours[hash]
	return first, ok
}

// Sent is how many bytes went out over HTTP.
func (s *Seeder) Sent(c *Content) int64 { return s.web.Sent(c.Key()) }

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
