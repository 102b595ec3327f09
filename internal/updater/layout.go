package updater

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"shoal/internal/disk"
)

// layout is where everything of one app lies.
type layout struct {
	to      string // TO: a directory, or in place the file
	inPlace bool
	state   string // journal, lock, stage, trash
	drive   *drive
	called  func(version string) string // the name of a version's one file by its description; "", or nil: that is not known
}

func newLayout(to string, inPlace bool, d *drive) (*layout, error) {
	absolute, err := filepath.Abs(to)
	if err != nil {
		return nil, err
	}
	l := &layout{to: absolute, inPlace: inPlace, state: filepath.Join(absolute, ".shoal"), drive: d}
	if inPlace {
		l.state = filepath.Join(filepath.Dir(absolute), "."+filepath.Base(absolute)+".shoal")
	}
	fi, err := os.Stat(absolute)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return l, nil
	case err != nil:
		return nil, err
	case fi.IsDir() && inPlace:
		return nil, &LayoutError{to + " is a directory, and only a file is replaced in place", "leave --in-place away, or name a file with --to"}
	case !fi.IsDir() && !inPlace:
		return nil, &LayoutError{to + " is a file, and versions lie in a directory", "with --in-place it is the file that is replaced; else name a directory with --to"}
	}
	if fi, err := os.Lstat(l.current()); err == nil && !inPlace && fi.Mode().Type() != fs.ModeSymlink {
		return nil, &LayoutError{l.current() + " is there, and no symlink", "move it away, or name another place with --to"}
	}
	return l, nil
}

func (l *layout) journal() string { return filepath.Join(l.state, "journal.json") }
func (l *layout) copy() string    { return filepath.Join(l.state, "journal.copy.json") }
func (l *layout) hook() string    { return filepath.Join(l.state, "hook") } // see runMarked
func (l *layout) trash() string   { return filepath.Join(l.state, "trash") }

// before is what lay under the name that programs use when nothing was installed by us, until something is confirmed.
func (l *layout) before() string { return filepath.Join(l.state, "before") }

// stage is where a version is fetched to.
func (l *layout) stage(version string) string { return filepath.Join(l.state, "stage", version) }

// given is where what was fetched besides a version's content stays, to be given to others.
func (l *layout) given(version string) string { return filepath.Join(l.state, "given", version) }

func (l *layout) versions() string {
	if l.inPlace {
		return filepath.Join(l.state, "versions")
	}
	return filepath.Join(l.to, "versions")
}

func (l *layout) version(version string) string { return filepath.Join(l.versions(), version) }

// current is the name that programs use.
func (l *layout) current() string {
	if l.inPlace {
		return l.to
	}
	return filepath.Join(l.to, "current")
}

// has says whether a version lies in versions/: then it came there whole, by a rename. What somebody has damaged of it since is put right there, see mend.go.
func (l *layout) has(version string) bool {
	fi, err := os.Stat(l.version(version))
	return err == nil && fi.IsDir()
}

// known says whether anything was ever installed here.
func (l *layout) known() bool { return disk.Exists(l.journal()) || disk.Exists(l.copy()) }

// make makes the directories, durably.
func (l *layout) make() error {
	for _, dir := range []string{filepath.Dir(l.stage("x")), l.versions(), l.trash()} {
		if err := l.drive.makeDir(dir); err != nil {
			return err
		}
	}
	for _, dir := range []string{l.state, filepath.Dir(l.state), filepath.Dir(filepath.Dir(l.state))} {
		if err := l.drive.syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// near is a LayoutError if no rename leads from where versions are fetched to where they lie.
func (l *layout) near() error {
	if disk.SameDevice(l.versions(), l.state) {
		return nil
	}
	return &LayoutError{l.versions() + " lies on another file system than " + l.state + ", and a version comes there by a rename",
		"have --to name a directory of that file system; a symlink may lead there"}
}

// install moves a staged version to versions/, where it does not lie: everything in it is made durable first, its name at last.
func (l *layout) install(version, content string) error {
	if err := l.drive.syncTree(content); err != nil {
		return err
	}
	if err := l.drive.rename(content, l.version(version)); err != nil {
		return err
	}
	if err := l.drive.syncDir(l.versions()); err != nil {
		return err
	}
	return l.drive.syncDir(filepath.Dir(content))
}

// discard takes a version out of versions/, with one rename so that what is left there is always whole.
func (l *layout) discard(version string) error {
	return l.drive.rename(l.version(version), filepath.Join(l.trash(), version+"."+strconv.FormatInt(time.Now().UnixNano(), 36)))
}

// switchTo has the name that programs use lead to a version; "" is to none. It is one rename, and durable when it returns.
func (l *layout) switchTo(ctx context.Context, version string) error {
	current := l.current()
	switch {
	case version == "" && disk.Exists(l.before()):
		if err := l.drive.rename(l.before(), current); err != nil {
			return err
		}
	case version == "":
		if err := l.drive.remove(current); err != nil {
			return err
		}
	case l.leadsTo(version):
	case l.inPlace:
		file, err := l.file(version)
		if err != nil {
			return err
		}
		next := filepath.Join(l.state, "next")
		if err := l.copyFile(ctx, file, next); err != nil {
			return err
		}
		if err := l.drive.rename(next, current); err != nil {
			return err
		}
	default:
		next := filepath.Join(l.state, "next")
		if err := l.drive.remove(next); err != nil {
			return err
		}
		if err := l.drive.link(filepath.Join("versions", version), next); err != nil {
			return err
		}
		if err := l.drive.rename(next, current); err != nil {
			return err
		}
	}
	// Both, since a rename from one directory to another is promised to be durable by nothing less.
	if err := l.drive.syncDir(filepath.Dir(current)); err != nil {
		return err
	}
	return l.drive.syncDir(l.state)
}

// leadsTo says whether the current link is that of a version. What a file that was replaced in place is cannot be told.
func (l *layout) leadsTo(version string) bool {
	if l.inPlace {
		return false
	}
	target, err := os.Readlink(l.current())
	return err == nil && target == filepath.Join("versions", version)
}

// keepBefore keeps what lies under the name that programs use, and is not ours.
func (l *layout) keepBefore(ctx context.Context) error {
	if err := l.drive.remove(l.before()); err != nil || !disk.Exists(l.current()) {
		return err
	}
	if l.inPlace {
		return l.copyFile(ctx, l.to, l.before())
	}
	target, err := os.Readlink(l.current())
	if err != nil {
		return err
	}
	if err := l.drive.link(target, l.before()); err != nil {
		return err
	}
	return l.drive.syncDir(l.state)
}

// copyFile copies a file durably; what lies there under the new name already goes.
func (l *layout) copyFile(ctx context.Context, from, to string) error {
	if err := l.drive.remove(to); err != nil {
		return err
	}
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	fi, err := src.Stat()
	if err != nil {
		return err
	}
	dst, err := os.OpenFile(to, os.O_RDWR|os.O_CREATE|os.O_EXCL, fi.Mode().Perm())
	if err != nil {
		return err
	}
	if err := clone(ctx, dst, src); err != nil {
		return err
	}
	if err := l.drive.syncTree(to); err != nil {
		return err
	}
	return l.drive.syncDir(filepath.Dir(to))
}

// file is the path of the one file of a version. Somebody may have put something beside it, so that its description says which it is.
func (l *layout) file(version string) (string, error) {
	dir := l.version(version)
	list, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	files := slices.DeleteFunc(list, func(e fs.DirEntry) bool { return !e.Type().IsRegular() })
	if l.called != nil {
		if name := l.called(version); name != "" {
			files = slices.DeleteFunc(files, func(e fs.DirEntry) bool { return e.Name() != name })
		}
	}
	if len(files) != 1 {
		return "", &LayoutError{fmt.Sprintf("%s is not one file, and only one is replaced in place", dir), "move away what is not the release's"}
	}
	return filepath.Join(dir, files[0].Name()), nil
}

// clone makes dst what src is, with its permissions, and closes dst; where the file system can, the two share their blocks.
func clone(ctx context.Context, dst, src *os.File) error {
	fi, err := src.Stat()
	if err == nil {
		_, err = disk.Clone(ctx, dst, src, 0, 0, fi.Size())
	}
	if err == nil {
		err = dst.Chmod(fi.Mode().Perm())
	}
	return errors.Join(err, dst.Close())
}

// emptyTrash removes what was discarded.
func (l *layout) emptyTrash() error {
	list, err := os.ReadDir(l.trash())
	if err != nil {
		return err
	}
	for _, e := range list {
		if err := l.drive.remove(filepath.Join(l.trash(), e.Name())); err != nil {
			return err
		}
	}
	return nil
}
