package piece

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// failer is a test of testing or rapid.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// checkGeometry holds the invariants of a parsed Info: every stretch lies inside its file, the stretches are the content, the pieces cover the space,
// and no path leaves the tree.
func checkGeometry(t failer, in *Info) {
	t.Helper()
	var sum, last int64
	for s := range in.Segments(0, in.Space()) {
		f := &in.Files[s.File]
		if s.FileOffset != 0 || s.Length != f.Length || s.Offset != f.Offset || s.Offset < last {
			t.Fatalf("segment %+v is not file %+v behind %d", s, f, last)
		}
		sum, last = sum+s.Length, s.Offset+s.Length
	}
	if sum != in.Length || last > in.Space() {
		t.Fatalf("segments hold %d bytes to %d, want %d within %d", sum, last, in.Length, in.Space())
	}
	var pieces int64
	for p := range min(in.NumPieces(), 10000) {
		off, n := in.PieceSpan(p)
		if n < 1 || n > in.PieceLength || in.PieceLenV1(p) < n || in.PieceLenV1(p) > in.PieceLength {
			t.Fatalf("piece %d has %d bytes, %d in v1 terms", p, n, in.PieceLenV1(p))
		}
		first := -1
		for s := range in.Segments(off, n) {
			if first < 0 {
				first = s.File
			}
			if s.Length < 1 || s.Offset < off || s.Offset+s.Length > off+n || s.FileOffset+s.Length > in.Files[s.File].Length {
				t.Fatalf("piece %d: segment %+v is outside %d+%d or its file", p, s, off, n)
			}
			if a, b := in.FilePieces(s.File); p < a || p >= b {
				t.Fatalf("piece %d holds file %d, whose pieces are %d to %d", p, s.File, a, b)
			}
			pieces += s.Length
		}
		if got := in.FileOfPiece(p); got != first {
			t.Fatalf("file of piece %d = %d, want %d", p, got, first)
		}
	}
	if in.NumPieces() <= 10000 && pieces != in.Length {
		t.Fatalf("the pieces hold %d bytes, want %d", pieces, in.Length)
	}
	for i := range in.Files {
		for _, path := range [][]string{in.Files[i].Path, in.Files[i].Symlink} {
			for _, c := range path {
				if err := CheckName(c); err != nil && (c != "." || len(path) != 1) {
					t.Fatalf("file %d: %v", i, err)
				}
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	hash := "20:" + strings.Repeat("x", 20)
	v1 := func(files string) string {
		return "d5:files" + files + "4:name1:n12:piece lengthi16384e6:pieces" + hash + "e"
	}
	path := func(comps ...string) string {
		b := appendStrings(nil, comps)
		return "ld6:lengthi5e4:path" + string(b) + "ee"
	}
	two := func(a, b string) string {
		return v1(strings.TrimSuffix(path(strings.Split(a, "/")...), "e") + path(strings.Split(b, "/")...)[1:])
	}
	link := func(target ...string) string {
		return v1("ld4:attr1:l6:lengthi0e4:pathl1:d1:le12:symlink path" + string(appendStrings(nil, target)) + "e" + path("f")[1:])
	}
	root := "11:pieces root32:" + strings.Repeat("r", 32)
	v2 := func(tree string) string {
		return "d9:file tree" + tree + "12:meta versioni2e4:name1:n12:piece lengthi16384ee"
	}
	for _, c := range []struct{ name, info, want string }{
		{"nothing", "", "too early"},
		{"not a dictionary", "i1e", "dictionary expected"},
		{"truncated", v1(path("a"))[:60], "too early"},
		{"trailing bytes", v1(path("a")) + "x", "behind its end"},
		{"unsorted keys", "d12:piece lengthi1e4:name1:ne", "must be sorted"},
		{"key twice", "d4:name1:n4:name1:ne", "twice"},
		{"leading zero", "d6:lengthi05ee", "bad number"},
		{"minus zero", "d6:lengthi-0ee", "bad number"},
		{"huge number", "d6:lengthi99999999999999999999ee", "too large"},
		{"string beyond the end", "d4:name99:ne", "too early"},
		{"string length with zero", "d04:name1:ne", "leading zero"},
		{"deep", "d1:a" + strings.Repeat("l", 100) + strings.Repeat("e", 100) + "e", "nested deeper"},
		{"name missing", "d6:lengthi5e12:piece lengthi16384e6:pieces" + hash + "e", "name is missing"},
		{"no content", "d6:lengthi0e4:name1:n12:piece lengthi16384e6:pieces0:e", "no content"},
		{"piece length 0", "d6:lengthi5e4:name1:n12:piece lengthi0e6:pieces" + hash + "e", "piece length 0"},
		{"piece length huge", "d6:lengthi5e4:name1:n12:piece lengthi268435457e6:pieces" + hash + "e", "piece length"},
		{"no hashes", "d6:lengthi5e4:name1:n12:piece lengthi16384ee", "neither pieces nor"},
		{"too few hashes", "d6:lengthi50000e4:name1:n12:piece lengthi16384e6:pieces" + hash + "e", "need 4"},
		{"odd hashes", "d6:lengthi5e4:name1:n12:piece lengthi16384e6:pieces3:abce", "multiple of 20"},
		{"negative length", "d6:lengthi-5e4:name1:n12:piece lengthi16384e6:pieces" + hash + "e", "negative"},
		{"both length and files", "d5:files" + path("a") + "6:lengthi5e4:name1:n12:piece lengthi16384e6:pieces" + hash + "e", "either length or files"},
		{"neither length nor files", "d4:name1:n12:piece lengthi16384e6:pieces" + hash + "e", "either length or files"},
		{"sum overflows", v1("ld6:lengthi9223372036854775807e4:pathl1:aeed6:lengthi9223372036854775807e4:pathl1:beee"), "bad or missing length"},
		{"unknown version", "d12:meta versioni3e4:name1:n12:piece lengthi16384ee", "meta version 3"},

		{"parent", v1(path("..", "x")), "out of the tree"},
		{"dot", v1(path("a", ".")), "out of the tree"},
		{"absolute", v1(path("/etc/passwd")), "separator"},
		{"backslash", v1(path(`a\b`)), "separator"},
		{"NUL", v1(path("a\x00b")), "control"},
		{"escape sequence", v1(path("a\x1b[2J")), "control"},
		{"empty component", v1(path("a", "", "b")), "empty name"},
		{"no path", v1("ld6:lengthi5eee"), "path is missing"},
		{"not UTF-8", v1(path("\xff")), "UTF-8"},
		{"device", v1(path("dir", "NUL.txt")), "device"},
		{"com port", v1(path("com7")), "device"},
		{"trailing dot", v1(path("a.")), "dot or a space"},
		{"trailing space", v1(path("a ")), "dot or a space"},
		{"long component", v1(path(strings.Repeat("a", 256))), "longer than 255"},
		{"long path", v1(path(strings.Split(strings.Repeat(strings.Repeat("a", 200)+"/", 30), "/")[:30]...)), "longer than 4096"},
		{"many components", v1(path(strings.Split(strings.Repeat("a/", 70), "/")[:70]...)), "more than 59"},
		{"bad name", strings.Replace(v1(path("a")), "4:name1:n", "4:name2:..", 1), "out of the tree"},
		{"twice", two("a/b", "a/b"), "twice"},
		{"case", two("a/README", "a/readme"), "only in case"},
		{"case of a directory", two("Lib/a", "lib/b"), "only in case"},
		{"case beyond ASCII", two("Å", "å"), "only in case"},
		{"file as directory", two("a", "a/b"), "file and a directory"},
		{"directory as file", two("a/b", "a"), "file and a directory"},
		{"symlink out", link("..", "..", "etc"), "leaves the tree"},
		{"symlink absolute", link("", "etc"), "empty name"},
		{"symlink with separator", link("/etc/passwd"), "separator"},
		{"symlink without target", link(), "without a target"},
		{"file below a symlink", v1("ld4:attr1:l6:lengthi0e4:pathl1:de12:symlink pathl1:fee" + path("d", "x")[1:]), "file and a directory"},

		{"v2 piece length", "d9:file treed1:nd0:d6:lengthi5e" + root + "eee12:meta versioni2e4:name1:n12:piece lengthi20000ee", "power of two"},
		{"v2 no version", "d9:file treed1:nd0:d6:lengthi5e" + root + "eee4:name1:n12:piece lengthi16384ee", "need each other"},
		{"v2 no root", v2("d1:nd0:d6:lengthi5eeee"), "pieces root"},
		{"v2 empty with root", v2("d1:nd0:d6:lengthi0e" + root + "eee"), "empty file with"},
		{"v2 huge", v2("d1:nd0:d6:lengthi9223372036854775807e" + root + "eee"), "bad or missing length"},
		{"v2 too many pieces", v2("d1:nd0:d6:lengthi562949953421312e" + root + "eee"), "pieces are more"},
		{"v2 parent", v2("d2:..d0:d6:lengthi5e" + root + "eee"), "out of the tree"},
		{"v2 empty directory", v2("d1:adee"), "empty directory"},
		{"v2 file and directory", v2("d1:ad0:d6:lengthi5e" + root + "e1:bd0:d6:lengthi5e" + root + "eeee"), "file and a directory"},
		{"v2 pad", v2("d1:ad0:d4:attr1:p6:lengthi5e" + root + "eee"), "pad file"},

		{"hybrid of different lengths", "d9:file treed1:nd0:d6:lengthi5e" + root + "eee6:lengthi6e12:meta versioni2e4:name1:n12:piece lengthi16384e6:pieces" + hash + "e", "disagree"},
		{"hybrid of different names", "d9:file treed1:xd0:d6:lengthi5e" + root + "eee5:files" + path("y") + "12:meta versioni2e4:name1:n12:piece lengthi16384e6:pieces" + hash + "e", "disagree"},
		{"hybrid without padding", "d9:file treed1:xd0:d6:lengthi5e" + root + "ee1:yd0:d6:lengthi5e" + root + "eee5:files" + strings.TrimSuffix(path("x"), "e") + path("y")[1:] +
			"12:meta versioni2e4:name1:n12:piece lengthi16384e6:pieces" + hash + "e", "starts at"},
		{"hybrid of one file and a tree", "d9:file treed1:xd0:d6:lengthi5e" + root + "eee6:lengthi5e12:meta versioni2e4:name1:n12:piece lengthi16384e6:pieces" + hash + "e", "disagree"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, err := ParseInfo([]byte(c.info))
			if err == nil {
				t.Fatalf("accepted as %+v, want an error with %q", in, c.want)
			}
			if !errors.Is(err, ErrBadTorrent) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %q, want one line with %q that wraps ErrBadTorrent", err, c.want)
			}
		})
	}
}

func TestParseAccepts(t *testing.T) {
	hash := "20:" + strings.Repeat("x", 20)
	root := "11:pieces root32:" + strings.Repeat("r", 32)
	for _, c := range []struct {
		name, info string
		check      func(in *Info) bool
	}{
		{"odd piece length in v1", "d6:lengthi5e4:name1:n12:piece lengthi7e6:pieces" + hash + "e", func(in *Info) bool { return !in.Dir && in.PieceLen(0) == 5 }},
		{"pads in v1, first and last", "d5:filesld4:attr1:p6:lengthi3e4:pathl4:.pad1:3eed6:lengthi5e4:pathl1:aeed4:attr1:p6:lengthi3e4:pathl4:.pad1:3eee4:name1:n12:piece lengthi20e6:pieces" + hash + "e",
			func(in *Info) bool {
				return in.Length == 5 && in.Space() == 11 && len(in.Files) == 1 && in.Files[0].Offset == 3
			}},
		{"a tree of one file with the tree's name", "d9:file treed1:nd0:d6:lengthi5e" + root + "eee5:filesld6:lengthi5e4:pathl1:neee12:meta versioni2e4:name1:n12:piece lengthi16384e6:pieces" + hash + "e",
			func(in *Info) bool { return in.Dir && len(in.Files[0].Path) == 1 }},
		{"UTF-8 twins", "d5:filesld6:lengthi5e4:pathl1:\xffe10:path.utf-8l1:aeee4:name1:\xff10:name.utf-81:n12:piece lengthi16384e6:pieces" + hash + "e",
			func(in *Info) bool { return in.Name == "n" && in.Files[0].Path[0] == "a" }},
		{"private", "d6:lengthi5e4:name1:n12:piece lengthi16384e6:pieces" + hash + "7:privatei1ee", func(in *Info) bool { return in.Private }},
	} {
		in, err := ParseInfo([]byte(c.info))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		checkGeometry(t, in)
		if !c.check(in) {
			t.Errorf("%s: parsed as %+v", c.name, in)
		}
	}
}

// TestAllPadPiece has a piece without any content between two files.
func TestAllPadPiece(t *testing.T) {
	in, err := ParseInfo([]byte("d5:filesld6:lengthi10e4:pathl1:aeed4:attr1:p6:lengthi20e4:pathl4:.pad2:20eed6:lengthi0e4:pathl1:eeed6:lengthi5e4:pathl1:beee4:name1:n12:piece lengthi10e6:pieces80:" +
		strings.Repeat("x", 80) + "e"))
	if err != nil {
		t.Fatal(err)
	}
	checkGeometry(t, in)
	var got []int
	for p := range in.NumPieces() {
		got = append(got, in.FileOfPiece(p))
	}
	if want := "[0 -1 -1 2]"; fmt.Sprint(got) != want {
		t.Errorf("files of pieces = %v, want %s", got, want)
	}
}

func TestSymlinkDialects(t *testing.T) {
	// The link is at d/l; there are d/near, far/x and both d/both and both.
	hash := "20:" + strings.Repeat("x", 20)
	parse := func(target ...string) (*Info, error) {
		return ParseInfo([]byte("d5:filesl" + "d4:attr2:xl6:lengthi0e4:pathl1:d1:le12:symlink path" + string(appendStrings(nil, target)) + "e" +
			"d6:lengthi1e4:pathl1:d4:neareed6:lengthi1e4:pathl3:far1:xeed6:lengthi1e4:pathl1:d4:botheed6:lengthi1e4:pathl4:botheee" +
			"4:name1:n12:piece lengthi16384e6:pieces" + hash + "e"))
	}
	for _, c := range []struct{ written, want string }{
		{"near", "d/near"}, {"d/near", "d/near"}, {"far/x", "far/x"}, {"../far/x", "far/x"}, {"far", "far"}, {"../far", "far"}, {"both", "both"}, {"./both", "d/both"},
		{"d/both", "d/both"}, {"gone", "d/gone"}, {"../gone", "gone"}, {"..", "."}, {".", "d"}, {"far/gone", "far/gone"}, {"far/../near", "d/near"},
	} {
		in, err := parse(strings.Split(c.written, "/")...)
		if err != nil {
			t.Errorf("%s: %v", c.written, err)
			continue
		}
		if got := strings.Join(in.Files[0].Symlink, "/"); got != c.want {
			t.Errorf("%s means %s, want %s", c.written, got, c.want)
		}
	}
}

func TestSegmentsDoNotAllocate(t *testing.T) {
	tor, err := ReadFile(goldens + "libtorrent-hybrid-tree.torrent")
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	if allocs := testing.AllocsPerRun(100, func() {
		for s := range tor.Segments(0, tor.Space()) {
			n += s.Length
		}
		n += int64(tor.FileOfPiece(3))
	}); allocs != 0 {
		t.Errorf("%v allocations, want none", allocs)
	}
}
