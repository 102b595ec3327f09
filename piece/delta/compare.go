package delta

import (
	"slices"
	"strings"

	"shoal/piece"
)

// A Kind says what a file of the new version is to the old one.
type Kind uint8

const (
	Added   Kind = iota // nothing of this content or path was there
	Changed             // the path was there, with other content
	Renamed             // the content was there, at another path
	Same                // it was there. Modes may differ still: those of the new Info count
)

// A Change is what is known about a new file without reading any.
type Change struct {
	Kind Kind
	// Old is the index of the old file: with the same bytes (Same, Renamed), or at the same path (Changed). Else it is -1.
	Old int
}

// Changes is how two versions differ.
type Changes struct {
	Files   []Change // by index of new file
	Removed []int    // the old files whose path is gone and whose content no new file has
}

// needsBytes says whether the patch carries this new file: what has content, and none that was there.
func (c *Changes) needsBytes(in *piece.Info, file int) bool {
	return c.Files[file].Kind <= Changed && hasContent(in, file)
}

func hasContent(in *piece.Info, file int) bool {
	return in.Files[file].Symlink == nil && in.Files[file].Length > 0
}

// Compare tells by names and roots how two versions differ. Both must have v2. Empty files and symlinks are Same if the old version has them at their
// path, and Changed or Added otherwise, but never Renamed.
func Compare(old, new *piece.Info) Changes {
	byPath := make(map[string]int, len(old.Files))
	byRoot := make(map[piece.Hash32]int, len(old.Files))
	for i := range old.Files {
		byPath[pathOf(old, i)] = i
		if hasContent(old, i) {
			if _, ok := byRoot[old.Files[i].Root]; !ok {
				byRoot[old.Files[i].Root] = i
			}
		}
	}
	c := Changes{Files: make([]Change, len(new.Files))}
	used := make([]bool, len(old.Files))
	for i := range new.Files {
		c.Files[i] = change(old, new, i, byPath, byRoot)
		if j := c.Files[i].Old; j >= 0 {
			used[j] = true
		}
	}
	for j := range old.Files {
		if !used[j] {
			c.Removed = append(c.Removed, j)
		}
	}
	return c
}

func change(old, new *piece.Info, i int, byPath map[string]int, byRoot map[piece.Hash32]int) Change {
	f := &new.Files[i]
	at, there := byPath[pathOf(new, i)]
	if there && sameContent(&old.Files[at], f) {
		return Change{Same, at}
	}
	if hasContent(new, i) {
		if j, ok := byRoot[f.Root]; ok && old.Files[j].Length == f.Length {
			return Change{Renamed, j}
		}
	}
	if there {
		return Change{Changed, at}
	}
	return Change{Added, -1}
}

func sameContent(a, b *piece.File) bool {
	if a.Symlink != nil || b.Symlink != nil {
		return slices.Equal(a.Symlink, b.Symlink)
	}
	return a.Length == b.Length && a.Root == b.Root
}

// pathOf is a file's path below the content's name: that may hold the version.
func pathOf(in *piece.Info, i int) string {
	return strings.Join(in.Files[i].Path, "/")
}
