package piece

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxComponent  = 255          // bytes of one name: what ext4, APFS and NTFS take
	maxPath       = 4096         // bytes of NAME/path: PATH_MAX
	maxComponents = maxDepth - 5 // what the nesting of bencode leaves for a path in a v2 tree
)

// CheckName refuses a path component that could leave the tree, or that some system would take for something else: what a publisher may name
// must arrive on every machine under that name.
func CheckName(s string) error {
	switch {
	case s == "":
		return fmt.Errorf("empty name")
	case s == "." || s == "..":
		return fmt.Errorf("name %q leads out of the tree", s)
	case len(s) > maxComponent:
		return fmt.Errorf("name %.40q… is longer than %d bytes", s, maxComponent)
	case !utf8.ValidString(s):
		return fmt.Errorf("name %q is not UTF-8", s)
	case strings.ContainsAny(s, `/\`):
		return fmt.Errorf("name %q contains a separator", s)
	case strings.ContainsFunc(s, unicode.IsControl):
		return fmt.Errorf("name %q contains a control character", s)
	case s[len(s)-1] == '.' || s[len(s)-1] == ' ':
		return fmt.Errorf("name %q ends in a dot or a space, which Windows drops", s)
	case isDevice(s):
		return fmt.Errorf("name %q is a device on Windows", s)
	}
	return nil
}

// CheckContentName refuses what CheckName does, and a leading dot: a content's name is all that decides where a stranger's files land in the directory
// that the user names, and there .ssh is a place of the user's and .shoal-… one of ours.
func CheckContentName(s string) error {
	if strings.HasPrefix(s, ".") && strings.Trim(s, ".") != "" {
		return fmt.Errorf("a content's name cannot begin with a dot: %q", s)
	}
	return CheckName(s)
}

// isDevice reports whether Windows takes s for a device: con, nul.txt, COM1, lpt¹.
func isDevice(s string) bool {
	stem, _, _ := strings.Cut(s, ".")
	stem, _, _ = strings.Cut(stem, ":")
	stem = strings.ToLower(strings.TrimRight(stem, " "))
	switch stem {
	case "con", "prn", "aux", "nul", "conin$", "conout$":
		return true
	}
	if port, ok := strings.CutPrefix(stem, "com"); ok || strings.HasPrefix(stem, "lpt") {
		if !ok {
			port = stem[len("lpt"):]
		}
		return utf8.RuneCountInString(port) == 1 && strings.ContainsAny(port, "123456789¹²³")
	}
	return false
}

// unportable counts files whose names only Windows refuses, and gives the first of those names. They are no error: much content never meets Windows.
func unportable(s *scanned) (n int, first string) {
	for i := range s.files {
		for _, name := range slices.Concat(s.files[i].Path, []string{s.name}) {
			if strings.ContainsAny(name, `<>:"|?*`) {
				if n++; n == 1 {
					first = name
				}
				break
			}
		}
	}
	return n, first
}

// checkPath checks a path below name.
func checkPath(name string, path []string) error {
	if len(path) > maxComponents {
		return fmt.Errorf("path %.60q… has more than %d components", strings.Join(path[:8], "/"), maxComponents)
	}
	n := len(name)
	for _, c := range path {
		if err := CheckName(c); err != nil {
			return err
		}
		n += 1 + len(c)
	}
	if n > maxPath {
		return fmt.Errorf("path %.60q… is longer than %d bytes", strings.Join(path, "/"), maxPath)
	}
	return nil
}

// fold maps names that differ only in case to one string.
func fold(s string) string {
	ascii := true
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			ascii = false
		}
	}
	if ascii {
		return strings.ToLower(s)
	}
	return strings.Map(func(r rune) rune {
		least := r
		for o := unicode.SimpleFold(r); o != r; o = unicode.SimpleFold(o) {
			least = min(least, o)
		}
		return unicode.ToLower(least)
	}, s)
}

// paths is the set of a torrent's paths, sorted after folding: it finds those that would meet on disk, in memory proportional to the names.
type paths struct {
	files  []File
	folded []string // names joined by NUL, which no name holds and which sorts before all else
	order  []int32  // folded[i] is of files[order[i]]
}

// newPaths refuses paths that are equal, differ only in case, or use a file as a directory.
func newPaths(files []File) (*paths, error) {
	p := &paths{files: files, folded: make([]string, len(files)), order: make([]int32, len(files))}
	unsorted := make([]string, len(files))
	for i := range files {
		unsorted[i], p.order[i] = foldPath(files[i].Path), int32(i)
	}
	slices.SortFunc(p.order, func(a, b int32) int { return strings.Compare(unsorted[a], unsorted[b]) })
	for i, f := range p.order {
		p.folded[i] = unsorted[f]
		if i == 0 {
			continue
		}
		if err := meet(files[p.order[i-1]].Path, files[f].Path); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// meet compares two paths that are neighbours in folded order: all paths of one directory stand together, right behind a file of its name.
func meet(a, b []string) error {
	for i := range min(len(a), len(b)) {
		if a[i] == b[i] {
			continue
		}
		if fold(a[i]) == fold(b[i]) {
			return fmt.Errorf("%q and %q differ only in case", strings.Join(a[:i+1], "/"), strings.Join(b[:i+1], "/"))
		}
		return nil
	}
	if len(a) == len(b) {
		return fmt.Errorf("%q is there twice", strings.Join(a, "/"))
	}
	return fmt.Errorf("%q is a file and a directory", strings.Join(a[:min(len(a), len(b))], "/"))
}

// has reports whether path, spelled exactly so, is a file, a symlink or a directory of the torrent.
func (p *paths) has(path []string) bool { return p.find(path) != nil }

// isDir reports whether path is a directory of the torrent.
func (p *paths) isDir(path []string) bool { return len(p.find(path)) > len(path) }

// find returns the first path that is path or lies below it, or nil.
func (p *paths) find(path []string) []string {
	key := foldPath(path)
	i, _ := slices.BinarySearch(p.folded, key)
	if i == len(p.folded) {
		return nil
	}
	if full := p.folded[i]; full != key && !strings.HasPrefix(full, key+"\x00") {
		return nil
	}
	if found := p.files[p.order[i]].Path; slices.Equal(found[:len(path)], path) {
		return found
	}
	return nil
}

func foldPath(path []string) string {
	if len(path) == 1 {
		return fold(path[0])
	}
	var b strings.Builder
	for i, c := range path {
		if i > 0 {
			b.WriteByte(0)
		}
		b.WriteString(fold(c))
	}
	return b.String()
}
