package seeder

import (
	"context"
	"fmt"
	"os"

	"shoal/internal/deliver"
	"shoal/internal/disk"
	"shoal/internal/release"
	"shoal/piece"
	"shoal/piece/delta"
)

// A stored content is a release's as it lies in the repository. Since it may have changed there (a build directory that was published in place is built into again),
// what a patch is made of is held against the release's roots first, and looked at once more when the patch is made.
type stored struct {
	ref     release.Ref
	t       *piece.Torrent
	path    string
	inPlace bool
	stamps  []disk.Stamp // what files looked like before they were read and found right; others have none
}

// A changeError is that a stored content is not what was signed.
type changeError struct {
	s    *stored
	what string // a file, and what is wrong with it
}

func (e *changeError) Error() string {
	return fmt.Sprintf("the content of %s in %s is not what was published (%s)", e.s.ref, e.s.path, e.what)
}

// remedy is what to do about it.
func (e *changeError) remedy() string {
	if e.s.inPlace {
		return "published with --in-place it must stay as it is, in a directory of its own: put it back, or publish it again from elsewhere"
	}
	return "publish it again from what it was made of"
}

// openStored finds the content of a release in the repository.
func openStored(r *release.Repository, contents []*release.Live, rel *release.Release) (*stored, error) {
	a := rel.Tree()
	l := liveOf(contents, rel, a)
	if l == nil {
		return nil, release.ErrAbsent
	}
	packed, err := l.Metainfo()
	if err != nil {
		return nil, err
	}
	t, err := deliver.UnpackMetainfo(packed, a)
	if err != nil {
		return nil, err
	}
	path, inPlace, err := placeOf(r, a)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	return &stored{rel.Ref(), t, path, inPlace, make([]disk.Stamp, len(t.Files))}, nil
}

func (s *stored) tree() delta.Tree { return delta.Dir(s.t.Info, s.path) }

// check reads files that were not read before, on all cores, and says whether they are right: if not, with a changeError.
func (s *stored) check(ctx context.Context, files []bool) (err error) {
	unread := make([]bool, len(s.t.Files))
	defer func() {
		for i := range unread {
			if err != nil && unread[i] {
				s.stamps[i] = disk.Stamp{}
			}
		}
	}()
	for i, want := range files {
		if !want || s.stamps[i] != (disk.Stamp{}) {
			continue
		}
		unread[i] = true
		if s.stamps[i], err = stamp(s.path, s.t.Info, i); err != nil {
			return s.changed(i)
		}
	}
	report, err := piece.Verify(ctx, s.t.Info, s.path, piece.VerifyConfig{Select: func(i int) bool { return unread[i] }})
	if err != nil {
		if ctx.Err() == nil {
			err = &changeError{s, err.Error()}
		}
		return err
	}
	for _, f := range report.Files {
		if f.State != piece.WrongMode { // no patch is made of that
			return s.changed(f.File)
		}
	}
	return s.still(files)
}

// still says whether files that were right have not changed since.
func (s *stored) still(files []bool) error {
	for i, want := range files {
		if !want {
			continue
		}
		if now, err := stamp(s.path, s.t.Info, i); err != nil || !now.Equal(s.stamps[i]) {
			return s.changed(i)
		}
	}
	return nil
}

// changed is that file i has; it is not taken for right from now on.
func (s *stored) changed(i int) error {
	s.stamps[i] = disk.Stamp{}
	return &changeError{s, s.t.Files[i].Name(s.t.Info) + " has changed"}
}
