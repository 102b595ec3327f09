package swarm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"

	"shoal/internal/disk"
	"shoal/piece"
)

// place gives the files that want names their own names, with modes and symlinks; the content of
// each must be verified. Files that were already there are replaced. It may be stopped at any
// point and begun again: what has its name by then is hashed and left alone.
func (s *store) place(want func(i int) bool) error {
	s.syncing.Lock()
	defer s.syncing.Unlock()
	if _, err := s.flush(); err != nil { // a name must never stand for bytes that a power cut can take
		return err
	}
	made := map[string]bool{".": true}
	var files errgroup.Group
	files.SetLimit(runtime.GOMAXPROCS(0))
	var noDir error
	for i := range s.info.Files {
		if !want(i) {
			continue
		}
		name := s.final(i)
		failed := func(err error) error { return fmt.Errorf("placing %s: %w", filepath.Join(s.dir, name), err) }
		if err := s.makeDir(filepath.Dir(name), made); err != nil {
			noDir = failed(err)
			break
		}
		files.Go(func() error {
			if err := s.placeFile(i, name); err != nil {
				return failed(err)
			}
			return nil
		})
	}
	if err := errors.Join(files.Wait(), noDir); err != nil {
		return err
	}
	if s.info.Dir {
		if err := s.makeDir(s.info.Name, made); err != nil {
			return err
		}
	}
	return s.syncDirs(made)
}

// makeDir makes a directory and those above it, and notes them in made.
func (s *store) makeDir(name string, made map[string]bool) error {
	if made[name] {
		return nil
	}
	if err := s.makeDir(filepath.Dir(name), made); err != nil {
		return err
	}
	if err := s.dirs.Root().Mkdir(name, 0o777); err != nil {
		st, stErr := s.dirs.Lstat(name)
		if stErr != nil || !st.IsDir() {
			return err
		}
	}
	made[name] = true
	return nil
}

// syncDirs makes the names in directories survive a power cut.
func (s *store) syncDirs(dirs map[string]bool) error {
	if len(dirs) > manyFiles {
		if err := disk.SyncFS(s.dir); err == nil {
			return nil
		}
	}
	for d := range dirs {
		if err := disk.SyncDir(filepath.Join(s.dir, d)); err != nil {
			return err
		}
	}
	return nil
}

func (s *store) placeFile(i int, name string) error {
	f := &s.info.Files[i]
	if f.Symlink != nil {
		return s.placeSymlink(f, name)
	}
	if s.where[i].Load() == placed {
		return s.keepFile(i, name)
	}
	if f.Length == 0 {
		if err := s.dirs.Root().RemoveAll(s.part(i)); err != nil {
			return err
		}
		p, err := s.dirs.OpenFile(s.part(i), os.O_CREATE|os.O_RDWR, 0o666)
		if err != nil {
			return err
		}
		p.Close()
	}
	s.files.drop(i)
	st, err := s.dirs.Lstat(s.part(i))
	if err != nil {
		return err
	}
	if st.Size() != f.Length {
		return fmt.Errorf("its part has %d bytes and not %d: %w", st.Size(), f.Length, ErrChanged)
	}
	if err := s.setMode(s.part(i), st, f.Executable); err != nil {
		return err
	}
	if err := s.dirs.Rename(s.part(i), name); err != nil {
		return err
	}
	if st, err = s.dirs.Lstat(name); err != nil {
		return err
	}
	s.nowInPlace(i, st)
	return nil
}

// keepFile checks that a file that was found in place, and was whole, still is what was hashed.
func (s *store) keepFile(i int, name string) error {
	st, err := s.dirs.Lstat(name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	same := disk.StampOfInfo(st).Equal(s.stamps[i])
	s.mu.Unlock()
	if !same {
		return ErrChanged
	}
	if s.modes { // else it is as its owner wants it
		if err := s.setMode(name, st, s.info.Files[i].Executable); err != nil {
			return err
		}
	}
	if st, err = s.dirs.Lstat(name); err != nil {
		return err
	}
	s.nowInPlace(i, st)
	return nil
}

// setMode makes a file executable for all who can read it, or for nobody.
func (s *store) setMode(name string, st fs.FileInfo, executable bool) error {
	mode := st.Mode().Perm()
	if executable {
		mode |= mode & 0o444 >> 2
	} else {
		mode &^= 0o111
	}
	if mode == st.Mode().Perm() {
		return nil
	}
	return s.dirs.Chmod(name, mode)
}

func (s *store) placeSymlink(f *piece.File, name string) error {
	abs := func(path []string) string { return filepath.Join(append([]string{"/"}, path...)...) }
	target, err := filepath.Rel(abs(f.Path[:len(f.Path)-1]), abs(f.Symlink))
	if err != nil {
		return err
	}
	if old, err := s.dirs.Root().Readlink(name); err == nil && old == target {
		return nil
	}
	if err := s.dirs.Root().Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return s.dirs.Root().Symlink(target, name)
}

// clean removes journal and parts: all that was wanted is in place.
func (s *store) clean() error {
	s.files.close()
	s.journal.abandon()
	return s.dirs.Root().RemoveAll(s.work)
}
