package deliver

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"shoal/internal/release"
	"shoal/piece"
)

// ReleaseConfig says how releases are found and whom to trust about them.
type ReleaseConfig struct {
	// Repo is a repository's URL or directory, for sources that do not say. May be empty.
	Repo string
	// StateDir is where this machine remembers what it trusts.
	StateDir string
	// Root is the path of a root.json to pin. May be empty.
	Root string
	// FirstUse takes the root that the repository itself has, if none is known.
	FirstUse bool
	// Platform is what the release is to be for, or for any; empty: for this machine's own.
	Platform  string
	UserAgent string
	// Now is the clock by which signatures expire; nil means time.Now.
	Now func() time.Time
	// Running is a version to look up as well; Trusted.Withdrawn then says whether it was taken back. May be empty.
	Running string
	// Lean leaves the release's metainfo for Stage to get: most ways do not need it, and that of a large tree may be larger than a patch.
	Lean bool
	// Swarm, asked once, is where a repository is found that has no origin, or whose origin does not answer. Nil: nowhere.
	Swarm func() (*Swarm, error)
}

// Trusted is a release whose signatures have been checked all the way down to its torrent.
type Trusted struct {
	*release.Found
	Trust *release.Trust
	Name  string // what its repository is called
	// Withdrawn is why ReleaseConfig.Running was taken back; "": it was not.
	Withdrawn string
	// Trackers are those of the repository's server.
	Trackers [][]string
	// Asked is where the repository was found in place of a server that does not answer, or is behind; "": there was no need.
	Asked string

	heard chan []byte // checkpoints that peers have seen of the log
}

// hear takes a checkpoint that a peer has told. It returns at once.
func (t *Trusted) hear(checkpoint []byte) {
	select {
	case t.heard <- checkpoint:
	default: // more than can be looked at says nothing new
	}
}

// Watch compares what peers tell of the log with what this machine has seen, until ctx is done. It is for who gives a release to others; while it is fetched Fetch does
// it. A fork is told to forked, each time one is heard of.
func (t *Trusted) Watch(ctx context.Context, forked func(error)) {
	for {
		select {
		case <-ctx.Done():
			return
		case seen := <-t.heard:
			if err := t.Trust.Witness(ctx, seen); err != nil && ctx.Err() == nil {
				forked(err)
			}
		}
	}
}

// repository is where the files of a repository come from.
type repository struct {
	files   release.Files
	name    string
	id      string // as it claims; may be empty
	asked   string // in place of whose name it has, because that one does not answer; see elsewhere
	web     *web   // if it is a web server
	copied  bool   // by a machine that is not its origin
	opener  opener // if it lies on this machine
	carried bool
	bundle  *release.Bundle // if it is one
	root    []byte          // of a publisher's own directory, which needs no other proof
	close   func()
}

// trustDir is where trust is remembered.
func (c *ReleaseConfig) trustDir() string {
	if c.StateDir == "" {
		return ""
	}
	return filepath.Join(c.StateDir, "trust")
}

// locate finds out where a release's repository is.
func (c *ReleaseConfig) locate(ctx context.Context, s Source) (*repository, error) {
	switch {
	case s.Kind == KindBundle:
		return openBundle(s.Path)
	case s.Kind == KindRepository:
		return openDir(s.Path)
	case s.Magnet != nil:
		return c.byMagnet(ctx, s)
	case s.Release.Repository != nil:
		return c.onWeb(s.Release.Repository), nil
	}
	where := c.Repo
	if where == "" {
		var err error
		if where, err = release.NameOf(c.trustDir(), s.Release.App); err != nil {
			return nil, err
		}
	}
	if where == "" {
		if r, err := c.withoutOrigin(ctx, s); r != nil || err != nil {
			return r, err
		}
		return nil, &Error{ErrSource, fmt.Sprintf("no repository of %s is known on this machine", s.Release.App), "name it: --repo URL or --repo DIR"}
	}
	if u, err := url.Parse(where); err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") {
		return c.onWeb(u.JoinPath("/")), nil
	}
	return openDir(where)
}

func (c *ReleaseConfig) onWeb(base *url.URL) *repository {
	w := newWeb(base, c.UserAgent)
	return &repository{files: w, name: base.Redacted(), web: w, close: w.Close}
}

// openDir opens a repository's directory: a publisher's own, or a copy of what is public in it.
func openDir(dir string) (*repository, error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	public, id := absolute, ""
	var inPlace map[string]string
	var root []byte
	if r, err := release.Open(absolute, release.Config{}); err == nil {
		public, id = r.Public(), r.ID()
		if inPlace, err = r.InPlace(); err != nil {
			return nil, err
		}
		if root, err = os.ReadFile(filepath.Join(absolute, "root.json")); err != nil {
			return nil, err
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(public, "metadata")); err != nil {
		return nil, &Error{ErrSource, fmt.Sprintf("%s is not a repository: it has no metadata", dir), "shoal init makes one"}
	}
	return &repository{files: release.Dir(public), name: absolute, id: id, root: root, opener: dirOpener{public, inPlace}, close: func() {}}, nil
}

// dirOpener opens content below a public directory, or where it lies if it was published in place.
type dirOpener struct {
	public  string
	inPlace map[string]string // by v2 info hash
}

func (d dirOpener) open(path string) (content, int64, error) {
	dir := d.public
	// content/V2/NAME/…: in place, NAME is the path's last element, whatever it is called there.
	if parts := strings.SplitN(path, "/", 4); len(parts) >= 3 && d.inPlace[parts[1]] != "" {
		dir, path = filepath.Split(d.inPlace[parts[1]])
		if len(parts) == 4 {
			path += "/" + parts[3]
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, 0, err
	}
	defer root.Close()
	f, err := root.Open(filepath.FromSlash(path))
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// OpenRepository finds a repository by its URL or directory, checks it and brings what this machine knows of it up to date. A publisher's own directory is trusted
// by its root.json, if nothing else is pinned. done lets go of it.
func OpenRepository(ctx context.Context, where string, c ReleaseConfig) (t *release.Trust, done func(), err error) {
	c.Repo = where
	r, err := c.locate(ctx, Source{Kind: KindRelease})
	if err != nil {
		return nil, nil, err
	}
	if t, err = c.trust(ctx, r); err != nil {
		r.close()
		return nil, nil, err
	}
	return t, r.close, nil
}

// trust pins the root and brings the metadata up to date.
func (c *ReleaseConfig) trust(ctx context.Context, r *repository) (*release.Trust, error) {
	tc := release.TrustConfig{Files: r.files, Dir: c.trustDir(), FirstUse: c.FirstUse, Name: r.name, ID: r.id, Carried: r.carried, Now: c.Now,
		Copy: func() bool { return r.copied || r.web != nil && r.web.edge.Load() }}
	if c.Root != "" {
		var err error
		if tc.Root, err = os.ReadFile(c.Root); err != nil {
			return nil, err
		}
	} else if r.root != nil {
		tc.Root = r.root
	}
	t, err := release.NewTrust(ctx, tc)
	if err != nil {
		return nil, notRepository(r, err)
	}
	return t, notRepository(r, t.Refresh(ctx))
}

// notRepository says in the user's words that there is no repository.
func notRepository(r *repository, err error) error {
	if errors.Is(err, release.ErrAbsent) && !errors.Is(err, release.ErrRefused) {
		return &Error{ErrNoSource, r.name + " is not a repository of releases", "is the address right? A release is REPOSITORY/APP:CHANNEL or REPOSITORY/APP@VERSION"}
	}
	return err
}

// ref is the release that a source names.
func (s Source) ref() release.Ref {
	return release.Ref{App: s.Release.App, Channel: s.Release.Channel, Version: s.Release.Version}
}

// CheckRelease finds out which release a source means and checks it, without asking for its content. With nothing new since the last time that is two requests,
// whose answers have no body. Trusted.Trust tells whether anything has changed.
func CheckRelease(ctx context.Context, s Source, c ReleaseConfig) (*Trusted, error) {
	found, r, err := c.find(ctx, s)
	if err != nil {
		return nil, err
	}
	r.close()
	return found, nil
}

// find finds a release and checks it: where the source says, or in the swarm. Closing the repository is the caller's.
func (c *ReleaseConfig) find(ctx context.Context, s Source) (*Trusted, *repository, error) {
	r, err := c.locate(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	found, err := c.check(ctx, s, r)
	if unanswered(err) && r.web != nil {
		// The origin does not answer, or a copy does not or is behind: perhaps others have what it has signed.
		other, there, second := c.elsewhere(ctx, s, r)
		if other == nil {
			var third error
			if other, third = c.withoutOrigin(ctx, s); other != nil {
				there, second = c.check(ctx, s, other)
			} else if third != nil && !errors.Is(third, ErrNoSource) {
				second = third
			}
		}
		if other != nil {
			r.close()
			r, found, err = other, there, second
		} else if second != nil {
			err = second
		}
	}
	if err != nil {
		r.close()
		return nil, nil, err
	}
	return found, r, nil
}

func (c *ReleaseConfig) check(ctx context.Context, s Source, r *repository) (*Trusted, error) {
	t, err := c.trust(ctx, r)
	if err != nil {
		return nil, err
	}
	return c.lookUp(ctx, s, r, t)
}

// lookUp finds a release in a repository that has proven to be the one.
func (c *ReleaseConfig) lookUp(ctx context.Context, s Source, r *repository, t *release.Trust) (*Trusted, error) {
	_ = c.remember(t.ID(), r) // it helps another time, and what was asked for is found
	ref := s.ref()
	if s.Kind == KindBundle {
		ref = r.bundle.Ref()
	}
	platforms := release.Platforms(c.Platform)
	found, err := t.Release(ctx, ref, platforms)
	if err != nil {
		return nil, err
	}
	trusted := &Trusted{Found: found, Trust: t, Name: r.name, Asked: r.asked, heard: make(chan []byte, 4)}
	if r.web != nil {
		trusted.Trackers = r.web.trackers()
	}
	if c.Running != "" && c.Running != found.Version {
		trusted.Withdrawn, err = t.Withdrawn(ctx, release.Ref{App: found.App, Version: c.Running}, platforms)
	}
	return trusted, err
}

// ResolveRelease finds a release and checks it. Closing the result is the caller's: its repository may be an open file.
func ResolveRelease(ctx context.Context, s Source, c ReleaseConfig) (f *Found, err error) {
	found, r, err := c.find(ctx, s)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	f = &Found{Release: found, close: r.close, carried: r.carried, reach: r.reach, class: r.class}
	r.reach(f, found.Tree().V2)
	if c.Lean {
		return f, nil
	}
	return f, f.describe(ctx)
}

// reach says how content of the repository is got at.
func (r *repository) reach(f *Found, v2 string) {
	switch {
	case r.opener != nil:
		f.Origin, f.Local = []string{localSeed(v2)}, local{r.opener}
	case r.web != nil:
		r.web.sources(f, v2)
	}
}

// Describe gets the description of a release: from the state directory, or from its repository.
func Describe(ctx context.Context, f *Found, stateDir string) (*piece.Torrent, error) {
	if t := Description(stateDir, f.Release.Tree().V2); t != nil {
		return t, nil
	}
	err := f.describe(ctx)
	return f.Torrent, err
}

// describe reads the release's metainfo.
func (f *Found) describe(ctx context.Context) error {
	packed, err := f.Release.Trust.Metainfo(ctx, f.Release.Found)
	if err != nil {
		return err
	}
	if f.Torrent, err = UnpackMetainfo(packed, f.Release.Tree()); err != nil {
		return err
	}
	f.WebSeeds = append(f.WebSeeds, f.Torrent.WebSeeds...)
	return nil
}

// maxMetainfo bounds an unpacked metainfo, in bytes, and what unpacking it may take.
const maxMetainfo = 96 << 20

// PackMetainfo is a .torrent as a repository has it: compressed with zstd.
func PackMetainfo(t *piece.Torrent) ([]byte, error) {
	var plain bytes.Buffer
	if err := t.Write(&plain); err != nil {
		return nil, err
	}
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedBetterCompression))
	if err != nil {
		return nil, err
	}
	return e.EncodeAll(plain.Bytes(), nil), e.Close()
}

// UnpackMetainfo reads metainfo and holds it against what the release says of it.
func UnpackMetainfo(packed []byte, a *release.Artefact) (*piece.Torrent, error) {
	t, err := readMetainfo(packed)
	if err != nil {
		return nil, &release.Refusal{Rule: release.RuleMalformed, Message: fmt.Sprintf("the metainfo of %s: %v", a.Name, err)}
	}
	if !t.HasV2 || hex.EncodeToString(t.V2[:]) != a.V2 || t.HasV1 != (a.V1 != "") || t.HasV1 && hex.EncodeToString(t.V1[:]) != a.V1 || t.Name != a.Name || t.Length != a.Bytes {
		return nil, &release.Refusal{Rule: release.RuleMismatch, Message: fmt.Sprintf("the metainfo of %s is that of another content", a.Name)}
	}
	return t, nil
}

func readMetainfo(packed []byte) (*piece.Torrent, error) {
	d, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxMetainfo), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return piece.Read(d)
}
