package deliver

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"shoal/piece"
)

// alone copies what lies on this machine of a content that no plan is made for: one that is no release, or a part of one. That is what From has under any name, and what has another
// name in the place that it goes to.
func (s *stager) alone(ctx context.Context) error {
	why := ""
	switch t := s.Torrent; {
	case t == nil:
		why = "what a magnet link leads to is told by those who are asked for it"
	case !t.HasV2:
		why = "the torrent has no SHA-256 to tell its files by"
	}
	if why != "" {
		for _, from := range s.From {
			s.unused(from, why)
		}
		return nil
	}
	in := s.Torrent.Info
	missing := s.notInPlace(in)
	var all []*twins
	defer func() {
		for _, t := range all {
			t.close()
		}
	}()
	look := func(path string) *twins {
		t, err := twinsIn(in, path, missing, nil)
		if err != nil {
			return nil // who asked has told of it
		}
		all = append(all, t)
		return t
	}
	any := false
	for i := range in.Files {
		any = any || missing(i)
	}
	if !any {
		return nil
	}
	if own := filepath.Join(s.Dir, in.Name); in.Dir && isDir(own) {
		look(own)
	}
	from := make([]*twins, len(s.From))
	for i, path := range s.From {
		from[i] = look(path)
	}
	for _, path := range s.otherVersions() {
		look(path)
	}
	if len(all) == 0 {
		return nil
	}
	if err := s.copyTwins(ctx, in, missing, all); err != nil {
		return err
	}
	for i, t := range from {
		if t != nil && !t.used.Load() {
			s.unused(s.From[i], "it has nothing of "+in.Name+" that is not here")
		}
	}
	return nil
}

func (s *stager) unused(from, why string) {
	if s.Unused != nil {
		s.Unused(from, why)
	}
}

// notInPlace says of which files that are wanted nothing with their length lies where they go to: what does is for the transfer to hash.
func (s *stager) notInPlace(in *piece.Info) func(i int) bool {
	list := make([]bool, len(in.Files))
	for i := range in.Files {
		f := &in.Files[i]
		if f.Length == 0 || f.Symlink != nil || s.Select != nil && !s.Select(f.Name(in)) || s.Magnet != nil && len(s.Magnet.Files) > 0 && !s.Magnet.Wants(i) {
			continue
		}
		st, err := os.Lstat(FileOf(in, filepath.Join(s.Dir, in.Name), i))
		list[i] = err != nil || !st.Mode().IsRegular() || st.Size() != f.Length
	}
	return func(i int) bool { return list[i] }
}

// otherVersions are where the state directory says that versions of the release's app lie, or the release itself.
func (s *stager) otherVersions() (list []string) {
	if s.Release == nil {
		return nil
	}
	state := installed{s.StateDir}
	for _, p := range state.puts(maxInstalled) {
		if len(list) < maxAlike && strings.HasPrefix(state.release(p.v2), s.Release.App+"@") {
			if _, err := os.Stat(p.path); err == nil {
				list = append(list, p.path)
			}
		}
	}
	return list
}

// copyTwins puts what was found into the place of the files that are missing.
func (s *stager) copyTwins(ctx context.Context, in *piece.Info, missing func(i int) bool, all []*twins) error {
	s.info = in
	var err error
	if s.parts, err = s.node.Parts(s.Dir, in); err != nil {
		return err
	}
	for i := range in.Files {
		if !missing(i) {
			continue
		}
		if err := s.copyTwin(ctx, i, all); err != nil {
			return err
		}
	}
	return s.closeParts()
}

// copyTwin copies file i from one that is the same, or else from those at its path that have pieces of it.
func (s *stager) copyTwin(ctx context.Context, i int, all []*twins) error {
	for _, open := range []func(t *twins) *os.File{func(t *twins) *os.File { return t.find(i) }, func(t *twins) *os.File { return t.part(i) }} {
		for _, t := range all {
			if s.parts.Has(i) {
				return nil
			}
			if f := open(t); f != nil {
				if err := s.copyFile(ctx, f, i); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// part opens a file at the path of file i that has some of its pieces; nil if there is none.
func (t *twins) part(i int) *os.File {
	path := pathIn(t.in, i)
	for _, name := range []string{path, filepath.Join(t.in.Name, path)} {
		if t.names[name] {
			if o := t.open(name, i, mostSampled, func(right, _ int) bool { return right > 0 }); o != nil {
				return o
			}
		}
	}
	return nil
}
