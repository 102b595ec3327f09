package piece

import (
	"fmt"
	"slices"
)

// parseV1 reads the v1 half: length or files, and sets spaceV1 and the hashes.
func (in *Info) parseV1(raw *rawInfo) ([]File, error) {
	in.hashes = raw.pieces
	if raw.files == nil {
		f := File{Length: raw.length}
		if _, symlink := f.setAttr(raw.attr); symlink || raw.symlink {
			return nil, fmt.Errorf("the one file is a symlink")
		}
		in.spaceV1 = raw.length
		return []File{f}, checkSpace(raw.length)
	}
	p := listParser{in: in}
	c := &cursor{b: raw.files}
	err := c.list(func() error {
		if err := p.file(c); err != nil {
			return fmt.Errorf("file %d: %w", len(p.files), err)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("files: %w", err)
	}
	in.spaceV1 = p.off
	return p.files, nil
}

// listParser reads the list of files of a v1 torrent.
type listParser struct {
	in    *Info
	files []File
	last  []string // the last path, to share its strings
	off   int64
}

func (p *listParser) file(c *cursor) error {
	f := File{Offset: p.off, Length: -1}
	var pathUTF8 []string
	var pad, symlink bool
	err := c.dict(false, func(key []byte) (err error) {
		switch string(key) {
		case "length":
			f.Length, err = c.int()
		case "path":
			f.Path, err = c.readPath()
		case "path.utf-8":
			pathUTF8, err = c.readPath()
		case "attr":
			var attr []byte
			attr, err = c.str()
			pad, symlink = f.setAttr(attr)
		case "symlink path":
			f.Symlink, err = c.readPath()
		default:
			err = c.skip()
		}
		return err
	})
	if err != nil {
		return err
	}
	if pathUTF8 != nil {
		f.Path = pathUTF8
	}
	if err := f.checkLength(symlink); err != nil {
		return err
	}
	p.off += f.Length
	if err := checkSpace(p.off); err != nil || pad {
		return err
	}
	if len(f.Path) == 0 {
		return fmt.Errorf("path is missing")
	}
	p.share(f.Path)
	if err := checkPath(p.in.Name, f.Path); err != nil {
		return err
	}
	return addFile(&p.files, f)
}

// share replaces names that the path before had too by its strings, so that a directory's name is kept once.
func (p *listParser) share(path []string) {
	for i := 0; i < min(len(path), len(p.last)) && path[i] == p.last[i]; i++ {
		path[i] = p.last[i]
	}
	p.last = path
}

// checkLength settles the length, -1 if it was absent: a symlink has none.
func (f *File) checkLength(symlink bool) error {
	switch {
	case symlink && f.Length <= 0 && len(f.Symlink) > 0:
		f.Length = 0
	case symlink:
		return fmt.Errorf("a symlink with content, or without a target")
	case f.Length < 0 || f.Length > maxSpace:
		return fmt.Errorf("bad or missing length")
	default:
		f.Symlink = nil // without attr l it means nothing
	}
	return nil
}

func addFile(files *[]File, f File) error {
	if len(*files) == maxFiles {
		return fmt.Errorf("more than %d files", maxFiles)
	}
	*files = append(*files, f)
	return nil
}

func checkSpace(n int64) error {
	if n > maxSpace {
		return fmt.Errorf("the files are longer than %d bytes together", int64(maxSpace))
	}
	return nil
}

// treeParser reads the file tree of a v2 torrent (BEP 52).
type treeParser struct {
	in    *Info
	files []File
	off   int64
}

// parseTree reads the v2 half.
func (in *Info) parseTree(raw []byte) ([]File, error) {
	p := treeParser{in: in}
	err := p.dir(&cursor{b: raw}, nil)
	return p.files, err
}

// dir reads a dictionary of names; path is its place.
func (p *treeParser) dir(c *cursor, path []string) error {
	empty := true
	err := c.dict(false, func(key []byte) error {
		empty = false
		if len(key) == 0 {
			return fmt.Errorf("%q is a file and a directory", path)
		}
		if len(path) >= maxComponents {
			return fmt.Errorf("a path of more than %d names", maxComponents)
		}
		return p.entry(c, append(path, string(key)))
	})
	if err == nil && empty {
		return fmt.Errorf("%q is an empty directory", path)
	}
	return err
}

// entry reads what stands behind a name: {"": properties} is a file, all else a directory.
func (p *treeParser) entry(c *cursor, path []string) error {
	if !isFileEntry(c) {
		return p.dir(c, path)
	}
	return c.dict(false, func(key []byte) error {
		if len(key) != 0 {
			return fmt.Errorf("%q is a file and a directory", path)
		}
		if err := p.file(c, slices.Clone(path)); err != nil {
			return fmt.Errorf("%q: %w", path, err)
		}
		return nil
	})
}

// isFileEntry reports whether the dictionary at c has the empty key, which sorts first.
func isFileEntry(c *cursor) bool {
	return c.i+3 <= len(c.b) && string(c.b[c.i:c.i+3]) == "d0:"
}

func (p *treeParser) file(c *cursor, path []string) error {
	f := File{Path: path, Length: -1}
	var root []byte
	var pad, symlink bool
	err := c.dict(false, func(key []byte) (err error) {
		switch string(key) {
		case "length":
			f.Length, err = c.int()
		case "pieces root":
			root, err = c.str()
		case "attr":
			var attr []byte
			attr, err = c.str()
			pad, symlink = f.setAttr(attr)
		case "symlink path":
			f.Symlink, err = c.readPath()
		default:
			err = c.skip()
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := f.checkLength(symlink); err != nil {
		return err
	}
	switch {
	case pad:
		return fmt.Errorf("a pad file in a v2 tree")
	case f.Length > 0 && len(root) != 32:
		return fmt.Errorf("pieces root has %d bytes, not 32", len(root))
	case f.Length == 0 && len(root) != 0:
		return fmt.Errorf("an empty file with a pieces root")
	}
	copy(f.Root[:], root)
	if f.Length > 0 {
		p.off += -p.off & (p.in.PieceLength - 1) // a power of two
	}
	f.Offset = p.off
	p.off += f.Length
	if err := checkSpace(p.off); err != nil {
		return err
	}
	if err := checkPath(p.in.Name, f.Path); err != nil {
		return err
	}
	return addFile(&p.files, f)
}
