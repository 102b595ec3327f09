package deliver

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"shoal/internal/disk"
	"shoal/piece"
)

// Known is content that was put somewhere, and its description in the state directory.
type Known struct {
	Torrent *piece.Torrent
	Path    string // of the tree, or the file
	Release string // APP@VERSION; "": an older shoal has put it there
}

// KnownAt is what was put at path, or into it, and an error of kind ErrNoSource if that is nothing, or more than one content.
func KnownAt(stateDir, path string) (*Known, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	s := installed{stateDir}
	places := s.placesAround(filepath.Dir(absolute), absolute)
	if v2, ok := places[absolute]; ok {
		if k := s.known(v2, absolute); k != nil {
			return k, nil
		}
	}
	var inside []string
	for where := range places {
		if filepath.Dir(where) == absolute && disk.Exists(where) {
			inside = append(inside, where)
		}
	}
	slices.Sort(inside)
	switch {
	case len(inside) > 1:
		return nil, &Error{ErrSource, fmt.Sprintf("%s holds several releases", path), "name one of them: " + inside[0]}
	case len(inside) == 1:
		if k := s.known(places[inside[0]], inside[0]); k != nil {
			return k, nil
		}
	}
	return nil, &Error{ErrNoSource, fmt.Sprintf("what %s should be is not known here: no release was put there", path),
		"name its description: shoal verify FILE.torrent PATH, or shoal verify APP@VERSION PATH"}
}

// placesAround are where content was put, by path: its v2 info hash. Of a content that was put to several places only the last one is remembered: in these directories a tree is told by its
// name, too.
func (s installed) placesAround(dirs ...string) map[string]string {
	places := s.places(math.MaxInt)
	for name, v2 := range s.trees() {
		for _, dir := range dirs {
			if where := filepath.Join(dir, name); places[where] == "" && disk.Exists(where) {
				places[where] = v2
			}
		}
	}
	return places
}

// KnownRelease is where a release was put last, by APP@VERSION, or by its v2 info hash in hex; nil if it is not known.
func KnownRelease(stateDir, ref, v2 string) *Known {
	s := installed{stateDir}
	for where, hash := range s.places(math.MaxInt) {
		if (hash == v2 || v2 == "" && s.release(hash) == ref) && disk.Exists(where) {
			return s.known(hash, where)
		}
	}
	return nil
}

// trees are the names of releases that are trees, and their v2 info hashes.
func (s installed) trees() map[string]string {
	found := map[string]string{}
	paths, err := filepath.Glob(s.file("*", "release"))
	if s.dir == "" || err != nil {
		return found
	}
	newestFirst(paths)
	for _, p := range paths {
		v2 := strings.TrimSuffix(filepath.Base(p), ".release")
		if name := strings.Replace(s.release(v2), "@", "-", 1); found[name] == "" {
			found[name] = v2
		}
	}
	return found
}

// Description is what the state directory knows of a content; nil if that is nothing.
func Description(stateDir, v2 string) *piece.Torrent { return installed{stateDir}.torrent(v2) }

func (s installed) known(v2, where string) *Known {
	t := s.torrent(v2)
	if t == nil {
		return nil
	}
	return &Known{t, where, s.release(v2)}
}
