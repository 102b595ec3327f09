package swarm

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	"shoal/internal/disk"
	"shoal/piece"
)

// What lies on disk already when a fetch begins.

// survey looks at the parts, and has those pieces hashed that the journal cannot vouch for.
func (s *store) survey(existing map[int]disk.Stamp, known bool, state *journalState) error {
	for i := range s.info.Files {
		f := &s.info.Files[i]
		if f.Length == 0 {
			continue
		}
		size, young, err := s.surveyPart(i, state)
		if err != nil {
			return err
		}
		stamp, inPlace := existing[i]
		switch {
		case size >= 0:
			s.where[i].Store(partial)
		case inPlace:
			s.stamps[i] = stamp
			s.where[i].Store(placed)
		}
		first, end := s.info.FilePieces(i)
		for p := first; p < end; p++ {
			verified := state.synced.has(p) || state.trusted.has(p)
			from, to := spanIn(s.info, i, p)
			switch {
			case size < 0 && inPlace: // it may be what we want, or an older version of it
				state.doubt(p)
			case size < 0 || to > size: // what was verified is gone
				if verified {
					state.doubt(p)
				}
			case !known && from < size: // it may be anything, and good
				state.doubt(p)
			case young && verified:
				state.doubt(p)
			}
		}
	}
	return nil
}

// spanIn is where piece p, which has bytes of file i, begins and ends in that file.
func spanIn(info *piece.Info, i, p int) (from, to int64) {
	f := &info.Files[i]
	from = int64(p)*info.PieceLength - f.Offset
	return from, min(from+info.PieceLength, f.Length)
}

// surveyPart looks at the part of file i: its size, -1 if there is none, and whether it is younger
// than the journal. Each of our own writes is followed by one to the journal, so that what is
// younger was written by somebody else.
func (s *store) surveyPart(i int, state *journalState) (size int64, young bool, err error) {
	if s.fresh {
		return -1, false, nil
	}
	st, err := s.dirs.Lstat(s.part(i))
	if errors.Is(err, fs.ErrNotExist) {
		return -1, false, nil
	}
	if err != nil {
		return -1, false, err
	}
	if !st.Mode().IsRegular() {
		return -1, false, s.dirs.Root().RemoveAll(s.part(i))
	}
	now := disk.StampOfInfo(st)
	young = state.young(max(now.MtimeNs, now.CtimeNs))
	if most := s.info.Files[i].Length; now.Size > most {
		h, err := s.files.get(i, true)
		if err != nil {
			return -1, false, err
		}
		defer s.files.put(h)
		return most, true, h.f.Truncate(most)
	}
	return now.Size, young, nil
}

// obstacles looks at the places where the wanted files will stand. It returns the regular files
// that stand there already, and an error for what will be in the way: better now than after the
// last byte. A symlink in the place of a directory is in the way wherever it leads.
func (s *store) obstacles(want func(i int) bool) (existing map[int]disk.Stamp, err error) {
	existing = make(map[int]disk.Stamp)
	if want == nil {
		return existing, nil
	}
	inTheWay := func(name string, why error) error {
		return &fs.PathError{Op: "placing content", Path: filepath.Join(s.dir, name), Err: why}
	}
	there := map[string]bool{".": true} // directories, and whether they exist
	var dir func(name string) (bool, error)
	dir = func(name string) (bool, error) {
		if is, known := there[name]; known {
			return is, nil
		}
		is, err := dir(filepath.Dir(name))
		if is && err == nil {
			var st fs.FileInfo
			st, err = s.dirs.Lstat(name)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				is, err = false, nil
			case err != nil:
			case st.Mode()&fs.ModeSymlink != 0:
				err = inTheWay(name, fmt.Errorf("a symbolic link is there, %w", syscall.ENOTDIR))
			case !st.IsDir():
				err = inTheWay(name, syscall.ENOTDIR)
			}
		}
		there[name] = is
		return is, err
	}
	for i := range s.info.Files {
		if !want(i) {
			continue
		}
		name := s.final(i)
		is, err := dir(filepath.Dir(name))
		if err != nil {
			return nil, err
		}
		if !is {
			continue
		}
		st, err := s.dirs.Lstat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, err
		case st.IsDir():
			return nil, inTheWay(name, syscall.EISDIR)
		case st.Mode().IsRegular() && st.Size() > 0:
			existing[i] = disk.StampOfInfo(st)
		}
	}
	return existing, nil
}

// spare is about how much of the disk the parts take already for content that is still to come:
// blocks that were not verified when a former run ended.
func (s *store) spare(have *bitset) (n int64) {
	for i := range s.info.Files {
		if s.where[i].Load() != partial || s.whole(i, have) {
			continue
		}
		h, err := s.files.get(i, false)
		if err != nil {
			continue
		}
		taken := disk.Allocated(h.f)
		s.files.put(h)
		f := &s.info.Files[i]
		first, end := s.info.FilePieces(i)
		for p := first; p < end; p++ {
			if have.has(p) {
				from := int64(p) * s.info.PieceLength
				taken -= min(from+s.info.PieceLength, f.Offset+f.Length) - max(from, f.Offset)
			}
		}
		n += max(0, taken)
	}
	return n
}

// whole says whether all pieces of file i are among have.
func (s *store) whole(i int, have *bitset) bool {
	first, end := s.info.FilePieces(i)
	for p := first; p < end; p++ {
		if !have.has(p) {
			return false
		}
	}
	return true
}
