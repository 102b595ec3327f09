package piece

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// FileStat is what identifies a file's content without reading it.
type FileStat struct {
	Size    int64
	ModTime int64 // ns since 1970
	Inode   uint64
}

func statOf(fi fs.FileInfo) FileStat {
	return FileStat{Size: fi.Size(), ModTime: fi.ModTime().UnixNano(), Inode: inode(fi)}
}

// A scanned tree is what lies on the disk, in the order of BEP 52: sorted by bytes, name by name.
type scanned struct {
	name      string
	dir       bool
	files     []File // Symlink holds the link's text as it is to be written
	stats     []FileStat
	sparse    []bool // occupies less than its size
	emptyDirs int
	special   []string // files with a bit that no torrent can tell of
	refused   refusals
}

// refusals are paths that cannot be shared: whoever is told of one alone renames it and is told of the next.
type refusals struct {
	errs  []error // the first of them
	count int
}

// mostRefusals is how many are told one by one.
const mostRefusals = 10

func (r *refusals) add(err error) {
	if r.count++; r.count <= mostRefusals {
		r.errs = append(r.errs, err)
	}
}

// err is nil if there are none.
func (r *refusals) err() error {
	if r.count == 0 {
		return nil
	}
	texts := make([]string, len(r.errs))
	for i, err := range r.errs {
		texts[i] = err.Error()
	}
	text := strings.Join(texts, "; ")
	if r.count > mostRefusals {
		text += fmt.Sprintf("; and %d more", r.count-mostRefusals)
	}
	return errors.New(text)
}

// scan lists path, which may be a symlink itself, without following any below it.
func scan(ctx context.Context, path, name string) (*scanned, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	s := &scanned{name: cmp.Or(name, filepath.Base(abs)), dir: fi.IsDir()}
	if err := CheckContentName(s.name); err != nil {
		return nil, err
	}
	if !s.dir {
		return s, s.add(fi, path, nil)
	}
	if err := s.walk(ctx, path, nil); err != nil {
		return nil, err
	}
	if err := s.refused.err(); err != nil {
		return nil, err
	}
	set, err := newPaths(s.files)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for i := range s.files {
		if f := &s.files[i]; f.Symlink != nil {
			if f.Symlink, err = writtenTarget(f.Path, f.Symlink[0], set); err != nil {
				return nil, fmt.Errorf("symlink %s: %w", filepath.Join(path, filepath.Join(f.Path...)), err)
			}
		}
	}
	return s, nil
}

// walk lists one directory and those below it.
func (s *scanned) walk(ctx context.Context, dir string, below []string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		s.emptyDirs++
	}
	for _, e := range entries {
		path := append(below[:len(below):len(below)], e.Name())
		full := dir + string(filepath.Separator) + e.Name()
		if err := checkPath(s.name, path); err != nil {
			s.refused.add(fmt.Errorf("%s: %w", dir, err))
			continue
		}
		if e.IsDir() {
			if err := s.walk(ctx, full, path); err != nil {
				return err
			}
			continue
		}
		fi, err := e.Info()
		if err != nil {
			return err
		}
		if err := s.add(fi, full, path); err != nil {
			return err
		}
	}
	return nil
}

// add enters what is not a directory.
func (s *scanned) add(fi fs.FileInfo, full string, path []string) error {
	f := File{Path: path}
	switch mode := fi.Mode(); {
	case mode.IsRegular():
		f.Length, f.Executable = fi.Size(), mode&0o100 != 0
		if mode&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky) != 0 {
			s.special = append(s.special, full)
		}
		if f.Length > maxSpace {
			return fmt.Errorf("%s is longer than %d bytes", full, int64(maxSpace))
		}
	case mode&fs.ModeSymlink != 0:
		text, err := os.Readlink(full)
		if err != nil {
			return err
		}
		f.Symlink = []string{text}
	default:
		return fmt.Errorf("%s is %s: only files, directories and symlinks can be shared", full, kind(mode))
	}
	if len(s.files) == maxFiles {
		return fmt.Errorf("more than %d files", maxFiles)
	}
	s.files = append(s.files, f)
	s.stats = append(s.stats, statOf(fi))
	s.sparse = append(s.sparse, isSparse(fi))
	return nil
}

func kind(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeDevice != 0:
		return "a device"
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeSymlink != 0:
		return "a symlink"
	case mode.IsRegular():
		return "a file"
	}
	return "a special file"
}

// writtenTarget is how a torrent says that the link at path has this text: as the text itself, as libtorrent does, if that reads back as the same
// target; else the target from the root; else the text, marked by a leading dot.
func writtenTarget(path []string, text string, set *paths) ([]string, error) {
	target, err := textTarget(path, text, set.isDir)
	if err != nil {
		return nil, err
	}
	split := slices.DeleteFunc(strings.Split(filepath.ToSlash(text), "/"), func(c string) bool { return c == "" })
	for _, written := range [][]string{split, target, append([]string{"."}, split...)} {
		if got, err := linkTarget(path, written, set); err == nil && slices.Equal(got, target) {
			return written, nil
		}
	}
	return nil, fmt.Errorf("target %q cannot be written", text)
}

// textTarget is where the text of the link at path leads, from the root of the tree.
func textTarget(path []string, text string, isDir func([]string) bool) ([]string, error) {
	slashed := filepath.ToSlash(text)
	if filepath.IsAbs(text) || strings.HasPrefix(slashed, "/") {
		return nil, fmt.Errorf("target %q is absolute", text)
	}
	split := slices.DeleteFunc(strings.Split(slashed, "/"), func(c string) bool { return c == "" })
	if len(split) == 0 {
		return nil, fmt.Errorf("target %q is empty", text)
	}
	// By name alone "down/.." is nowhere; on a disk it is somewhere else if down is a symlink.
	dir := path[:len(path)-1]
	for i, c := range split {
		if c != ".." || i == 0 || split[i-1] == ".." {
			continue
		}
		if at, err := walkLink(dir, split[:i]); err != nil || at[0] != "." && !isDir(at) {
			return nil, fmt.Errorf("target %q goes up from what is no directory", text)
		}
	}
	return walkLink(dir, split)
}
