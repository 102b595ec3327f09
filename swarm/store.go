package swarm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"

	"shoal/internal/disk"
	"shoal/piece"
)

// where a file of a fetch lies.
const (
	absent  int32 = iota // nothing on disk yet
	partial              // a part file, at least begun
	placed               // whole, under its own name
)

// store is a fetch on disk. Every byte is written once, at its final offset in a part file below
// DIR/.shoal-<first 12 hex of the info hash>/, and the part gets the file's name only when the
// whole torrent (or what was selected of it) is verified. Unverified bytes may lie in a part,
// but the journal never names them.
type store struct {
	info    *piece.Info
	dir     string     // DIR
	dirs    *disk.Dirs // DIR
	work    string     // .shoal-xxxxxxxxxxxx
	where   []atomic.Int32
	files   *handles
	lock    *disk.DirLock
	fresh   bool // we made the working directory
	modes   bool // see piece.Info.TellsModes
	own     bool // see Spec.Own
	journal *journal
	leaves  *os.File // SHA-256 of each 16 KiB leaf, at 32 × its index; nil for v1

	syncing sync.Mutex // held by the one sync under way

	mu      sync.Mutex
	stamps  map[int]disk.Stamp // of files in place
	dirty   map[int]bool       // files written since the last sync
	unsaved int64              // bytes since then
}

// workDir is the name of the directory for journal and parts.
func workDir(info *piece.Info) string { return ".shoal-" + info.Key()[:12] }

// fetchSpec says how to open a fetch on disk.
type fetchSpec struct {
	dir  string
	want func(i int) bool // the files that will get their names; nil: none will
	boot string           // names the current run of the operating system
	own  bool             // see Spec.Own
}

// openStore opens or resumes a fetch. The state names the pieces that a former run verified, and
// the ones that have to be hashed again.
func openStore(spec fetchSpec, info *piece.Info) (*store, journalState, error) {
	if err := os.MkdirAll(spec.dir, 0o777); err != nil {
		return nil, journalState{}, fmt.Errorf("making %s: %w", spec.dir, err)
	}
	dirs, err := disk.OpenDirs(spec.dir)
	if err != nil {
		return nil, journalState{}, fmt.Errorf("opening %s: %w", spec.dir, err)
	}
	s := &store{info: info, dir: spec.dir, dirs: dirs, work: workDir(info), modes: info.TellsModes(), own: spec.own, dirty: make(map[int]bool)}
	s.where = make([]atomic.Int32, len(info.Files))
	s.stamps = make(map[int]disk.Stamp)
	s.files = newHandles(128, s.open)
	state, err := s.begin(spec)
	if err != nil {
		s.Close()
		return nil, journalState{}, err
	}
	return s, state, nil
}

// begin takes the directory and looks at what lies in it.
func (s *store) begin(spec fetchSpec) (state journalState, err error) {
	if err := s.dirs.Root().Mkdir(s.work, 0o777); err == nil {
		s.fresh = true
	}
	if err := s.dirs.Root().MkdirAll(filepath.Join(s.work, "parts"), 0o777); err != nil {
		return state, fmt.Errorf("making %s: %w", filepath.Join(s.dir, s.work), err)
	}
	if s.lock, err = disk.LockDir(filepath.Join(s.dir, s.work)); err != nil {
		return state, err
	}
	existing, err := s.obstacles(spec.want)
	if err != nil {
		return state, err
	}
	if s.info.HasV2 {
		s.leaves, err = s.dirs.OpenFile(filepath.Join(s.work, "leaves"), os.O_CREATE|os.O_RDWR, 0o666)
		if err != nil {
			return state, fmt.Errorf("opening leaves: %w", err)
		}
	}
	id := [32]byte(s.info.V2)
	if !s.info.HasV2 {
		copy(id[:], s.info.V1[:])
	}
	jname := filepath.Join(s.work, "journal")
	state, known, err := readJournal(s.dirs.Root(), jname, id, spec.boot, s.info.NumPieces())
	if err != nil {
		return state, err
	}
	if err := s.survey(existing, known, &state); err != nil {
		return state, err
	}
	for p := range s.info.NumPieces() {
		if state.trusted.has(p) { // it may still be in the page cache only
			s.mark(p)
		}
	}
	s.journal, err = newJournal(s.dirs.Root(), jname, id, spec.boot, &state)
	return state, err
}

func (s *store) part(i int) string { return filepath.Join(s.work, "parts", partName(i)) }

func partName(i int) string { return strconv.Itoa(i) }

func (s *store) final(i int) string {
	return filepath.Join(append([]string{s.info.Name}, s.info.Files[i].Path...)...)
}

// inPlace says whether file i stands under its own name.
func (s *store) inPlace(i int) bool { return s.where[i].Load() == placed }

func (s *store) open(i int, write bool) (*os.File, error) {
	if s.where[i].Load() == placed {
		if write {
			return nil, fmt.Errorf("%s is already in place", s.final(i))
		}
		return s.dirs.Open(s.final(i))
	}
	flag := os.O_RDONLY
	if write {
		flag = os.O_RDWR | os.O_CREATE
	}
	f, err := s.dirs.OpenFile(s.part(i), flag, 0o666)
	if err == nil && write {
		s.where[i].Store(partial)
	}
	return f, err
}

// settle decides what becomes of file i, which stands under its own name and was hashed: it stays if it is whole and no longer than it should be, becomes a
// part if some of it is good, and is nothing else.
func (s *store) settle(ctx context.Context, i int, whole, some bool) error {
	if fi, err := s.dirs.Lstat(s.final(i)); err != nil || fi.Size() != s.info.Files[i].Length {
		whole = false
	}
	switch {
	case whole:
	case s.own && s.adopt(i) == nil:
	case some:
		if err := s.displace(ctx, i); err != nil {
			return fmt.Errorf("reusing %s: %w", s.final(i), err)
		}
	default:
		s.files.drop(i)
		s.where[i].Store(absent)
	}
	return nil
}

// displace turns file i, which stands under its own name but is not right, into a part again,
// by a copy that shares its blocks where the file system can. The old file stays until the new
// one is whole.
func (s *store) displace(ctx context.Context, i int) error {
	s.files.drop(i)
	src, err := s.dirs.Open(s.final(i))
	if err != nil {
		return err
	}
	defer src.Close()
	tmp := s.part(i) + ".new" // half a copy is not a part
	dst, err := s.dirs.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return err
	}
	defer dst.Close()
	st, err := src.Stat()
	if err != nil {
		return err
	}
	if _, err := disk.Clone(ctx, dst, src, 0, 0, min(s.info.Files[i].Length, st.Size())); err != nil {
		return err
	}
	if !s.unchanged(i, src) { // since it was hashed
		return fmt.Errorf("%w: %s", ErrChanged, s.final(i))
	}
	if err := s.dirs.Rename(tmp, s.part(i)); err != nil {
		return err
	}
	s.where[i].Store(partial)
	s.journal.touch()
	return nil
}

// adopt is displace without a copy: the file itself becomes the part. Not one that has other names, whose owners would find it changed.
func (s *store) adopt(i int) error {
	s.files.drop(i)
	name := s.final(i)
	st, err := s.dirs.Lstat(name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	same := disk.StampOfInfo(st).Equal(s.stamps[i])
	s.mu.Unlock()
	if !same || disk.Links(st) > 1 {
		return fmt.Errorf("%w: %s", ErrChanged, name)
	}
	if mode := st.Mode().Perm(); mode&0o600 != 0o600 {
		if err := s.dirs.Chmod(name, mode|0o600); err != nil {
			return err
		}
	}
	f, err := s.dirs.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if most := s.info.Files[i].Length; st.Size() > most {
		if err := f.Truncate(most); err != nil {
			return err
		}
	}
	if err := s.dirs.Rename(name, s.part(i)); err != nil {
		return err
	}
	s.where[i].Store(partial)
	s.journal.touch()
	return nil
}

// ReadAt reads from parts, and from files in place for as long as nobody has changed those.
func (s *store) ReadAt(b []byte, off int64) error {
	return readFiles(s, s.info, b, off)
}

func (s *store) lend(i int) (*handle, error) {
	inPlace := s.where[i].Load() == placed
	h, err := s.files.get(i, false)
	if errors.Is(err, fs.ErrNotExist) && inPlace {
		return nil, fmt.Errorf("%w: %s is gone", ErrChanged, s.final(i))
	}
	if err != nil {
		return nil, err
	}
	if inPlace && !s.unchanged(i, h.f) {
		s.files.put(h)
		return nil, fmt.Errorf("%w: %s", ErrChanged, s.final(i))
	}
	return h, nil
}

func (s *store) giveBack(h *handle) { s.files.put(h) }

// unchanged says whether f, which is file i in its place, is as it was when it was hashed or placed.
func (s *store) unchanged(i int, f *os.File) bool {
	now, err := disk.StampOf(f)
	s.mu.Lock()
	defer s.mu.Unlock()
	return err == nil && now.Equal(s.stamps[i])
}

func (s *store) nowInPlace(i int, st fs.FileInfo) {
	s.mu.Lock()
	s.stamps[i] = disk.StampOfInfo(st)
	s.mu.Unlock()
	s.where[i].Store(placed)
}

func (s *store) WriteAt(b []byte, off int64) error {
	if err := s.write(b, off); err != nil {
		return err
	}
	s.journal.touch()
	return nil
}

// write is WriteAt for who writes to the journal afterwards.
func (s *store) write(b []byte, off int64) error {
	for seg := range s.info.Segments(off, int64(len(b))) {
		h, err := s.files.get(seg.File, true)
		if err != nil {
			return err
		}
		h.writing.Lock()
		_, err = h.f.WriteAt(b[seg.Offset-off:][:seg.Length], seg.FileOffset)
		h.writing.Unlock()
		s.files.put(h)
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *store) Close() error {
	s.files.close()
	if s.journal != nil {
		s.journal.close()
	}
	if s.leaves != nil {
		s.leaves.Close()
	}
	if s.lock != nil {
		if s.worthless() {
			s.dirs.Root().RemoveAll(s.work)
		}
		s.lock.Close()
	}
	return s.dirs.Close()
}

// worthless says whether nothing in the working directory would help the next run: whoever asked
// for what nobody has finds his directory as it was.
func (s *store) worthless() bool {
	if s.journal == nil {
		return s.fresh
	}
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	return s.journal.records == 0 && !s.journal.void
}
