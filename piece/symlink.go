package piece

import (
	"fmt"
	"slices"
	"strings"
)

// Symlinks in torrents have two dialects. BEP 47 gives the target from the torrent's root; libtorrent writes the link's own text, so from the link's
// directory, and reads both, the root's first if something is there. We write what libtorrent writes where it reads back as the same target, and
// otherwise what BEP 47 says. File.Symlink is always from the root, without "." and ".." ("." alone is the root itself).

// resolveLinks replaces the targets as written by the targets meant. set holds all paths.
func resolveLinks(files []File, set *paths) error {
	for i := range files {
		f := &files[i]
		if f.Symlink == nil {
			continue
		}
		target, err := linkTarget(f.Path, f.Symlink, set)
		if err != nil {
			return fmt.Errorf("symlink %q: %w", strings.Join(f.Path, "/"), err)
		}
		f.Symlink = target
	}
	return nil
}

// linkTarget reads the written target of the link at path.
func linkTarget(path, written []string, set *paths) ([]string, error) {
	relative, err := walkLink(path[:len(path)-1], written)
	dotted := slices.Contains(written, ".") || slices.Contains(written, "..")
	if dotted {
		return relative, err
	}
	if set.has(written) {
		return written, nil
	}
	if err != nil || set.has(relative) {
		return relative, err
	}
	// Dangling, or its way leads through another link. The first name tells where it starts.
	if set.has(written[:1]) && !set.has(relative[:len(path)]) {
		return written, checkPath("", written)
	}
	return relative, nil
}

// walkLink follows text from dir, by name only, and refuses to leave the tree.
func walkLink(dir, text []string) ([]string, error) {
	at := slices.Clone(dir)
	for _, c := range text {
		switch c {
		case ".":
		case "..":
			if len(at) == 0 {
				return nil, fmt.Errorf("target %q leaves the tree", strings.Join(text, "/"))
			}
			at = at[:len(at)-1]
		default:
			at = append(at, c)
		}
	}
	if len(at) == 0 {
		return []string{"."}, nil
	}
	return at, checkPath("", at)
}
