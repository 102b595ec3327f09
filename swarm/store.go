package swarm

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"

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
	journal *journal
	leaves  *os.File // SHA-256 of each 16 KiB leaf, at 32 × its index; nil for v1

	syncing sync.Mutex // held by the one sync under way

	mu      sync.Mutex
	stamps  map[int]disk.Stamp // of files in place
	dirty   map[int]bool       // files written since the last sync
	unsaved int64              // bytes since then
}

// workDir is the name of the directory for journal and parts.
func workDir(info *piece.Info) string {
	h := info.V1[:]
	if info.HasV2 {
		h = info.V2[:]
	}
	return ".shoal-" + hex.EncodeToString(h)[:12]
}

// fetchSpec says how to open a fetch on disk.
type fetchSpec struct {
	dir  string
	want func(i int) bool // the files that will get their names; nil: none will
	boot string           // names the current run of the operating system
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
	s := &store{info: info, dir: spec.dir, dirs: dirs, work: workDir(info), modes: info.TellsModes(), dirty: make(map[int]bool)}
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
			from := int64(p)*s.info.PieceLength - f.Offset
			switch {
			case size < 0 && inPlace: // it may be what we want, or an older version of it
				state.doubt(p)
			case size < 0 || min(from+s.info.PieceLength, f.Length) > size: // what was verified is gone
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

func (s *store) part(i int) string { return filepath.Join(s.work, "parts", strconv.Itoa(i)) }

func (s *store) final(i int) string {
	return filepath.Join(append([]string{s.info.Name}, s.info.Files[i].Path...)...)
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
				err = inTheWay(name, errors.New("a symbolic link is in the place of a directory"))
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
		_, err = h.f.WriteAt(b[seg.Offset-off:][:seg.Length], seg.FileOffset)
		s.files.put(h)
		if err != nil {
			return err
		}
	}
	return nil
}

// syncBytes and the transfer's timer decide how often fsync is paid: see [store.sync].
const syncBytes = 64 << 20

// record notes that piece p is verified and written; kind is the journal's. It says whether a
// sync is due.
func (s *store) record(p int, kind byte) (due bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mark(p)
	return s.unsaved >= syncBytes, s.journal.add(kind, p)
}

// mark notes that the files of piece p are to be synced.
func (s *store) mark(p int) {
	for seg := range s.info.Segments(int64(p)*s.info.PieceLength, s.info.PieceLen(p)) {
		s.dirty[seg.File] = true
		s.unsaved += seg.Length
	}
}

// sync makes what was recorded survive a power cut.
func (s *store) sync() error {
	s.syncing.Lock()
	defer s.syncing.Unlock()
	n, err := s.flush()
	if err != nil || n == 0 {
		return err
	}
	return s.journal.synced(n)
}

// flush syncs the files that were written to, and returns how many of the journal's runs that
// covers; 0 if there was nothing to do. The caller holds s.syncing.
func (s *store) flush() (runs int, err error) {
	s.mu.Lock()
	files, runs := s.dirty, s.journal.length()
	s.dirty, s.unsaved = make(map[int]bool), 0
	s.mu.Unlock()
	if len(files) == 0 {
		return 0, nil
	}
	if err := s.syncFiles(files); err != nil {
		// The system may have dropped what it could not write, and says so only once.
		s.journal.forget()
		return 0, fmt.Errorf("syncing: %w", err)
	}
	return runs, nil
}

// manyFiles is from where on one sync of the file system is cheaper than one for each file.
const manyFiles = 32

func (s *store) syncFiles(files map[int]bool) error {
	if len(files) > manyFiles {
		if err := disk.SyncFS(s.dir); err == nil {
			return nil
		}
	}
	for i := range files {
		h, err := s.files.get(i, s.where[i].Load() == partial)
		if err != nil {
			return err
		}
		err = h.f.Sync()
		s.files.put(h)
		if err != nil {
			return err
		}
	}
	return nil
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

// distrust has everything hashed at the next start: something was not on disk as it was written.
func (s *store) distrust() { s.journal.forget() }

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
