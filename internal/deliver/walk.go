package deliver

import (
	"cmp"
	"errors"
	"io"
	"os"
	"path/filepath"
)

// walk calls each for the regular files below path, which may be one itself, in the order that they come in, with their paths there. It ends early when that says false, or there are more
// than most files and directories, and says so: a directory may have millions of them, and none is read to its end for nothing. The error is about what it could not look into.
func walk(path string, most int, each func(name string, size int64) bool) (over bool, err error) {
	top, err := os.Lstat(path)
	if err != nil {
		return false, err
	}
	if !top.IsDir() {
		return top.Mode().IsRegular() && !each(filepath.Base(path), top.Size()), nil
	}
	left := most
	for todo := []string{"."}; len(todo) > 0; {
		dir := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		below, more, failed := list(path, dir, &left, each)
		todo, err = append(todo, below...), cmp.Or(err, failed)
		if more {
			return true, err
		}
	}
	return false, err
}

// list does that for one directory, and returns those in it.
func list(top, dir string, left *int, each func(name string, size int64) bool) (below []string, over bool, err error) {
	d, err := os.Open(filepath.Join(top, dir))
	if err != nil {
		return nil, false, err
	}
	defer d.Close()
	for {
		entries, end := d.ReadDir(256)
		for _, e := range entries {
			if *left--; *left < 0 {
				return nil, true, err
			}
			name := filepath.Join(dir, e.Name())
			switch {
			case e.IsDir():
				below = append(below, name)
			case e.Type().IsRegular():
				st, failed := e.Info()
				if failed != nil {
					err = cmp.Or(err, failed)
				} else if !each(name, st.Size()) {
					return nil, true, err
				}
			}
		}
		if end != nil {
			if !errors.Is(end, io.EOF) {
				err = cmp.Or(err, end)
			}
			return below, false, err
		}
	}
}
