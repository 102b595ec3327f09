package cli

import (
	"bytes"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anacrolix/torrent/bencode"
	"github.com/rogpeppe/go-internal/testscript"
)

type dict = map[string]any

// goodInfo is the info dictionary of a v1 torrent of one small file.
func goodInfo() dict {
	return dict{"name": "file", "piece length": 16384, "length": 5, "pieces": strings.Repeat("x", 20)}
}

// with returns the good info dictionary with other values; nil removes a key.
func with(changes dict) string {
	info := goodInfo()
	maps.Copy(info, changes)
	maps.DeleteFunc(info, func(_ string, value any) bool { return value == nil })
	return string(bencode.MustMarshal(dict{"info": info}))
}

// tree is a torrent of a directory with these paths, of one byte each.
func tree(paths ...[]string) string {
	var files []dict
	for _, path := range paths {
		files = append(files, dict{"length": 1, "path": path})
	}
	return with(dict{"length": nil, "files": files})
}

// treeV2 is a v2 torrent with this file tree.
func treeV2(tree dict) string {
	return string(bencode.MustMarshal(dict{"info": dict{"name": "tree", "piece length": 16384, "meta version": 2, "file tree": tree}, "piece layers": dict{}}))
}

func leafV2(changes dict) dict {
	leaf := dict{"length": 1, "pieces root": strings.Repeat("r", 32)}
	maps.Copy(leaf, changes)
	maps.DeleteFunc(leaf, func(_ string, value any) bool { return value == nil })
	return dict{"": leaf}
}

// badTorrents are torrents as a careless or a hostile tool may write them, by the name of what is wrong.
func badTorrents() map[string]string {
	good := with(nil)
	return map[string]string{
		"good":                   good, // to be sure that the others are refused for their reason
		"good-tree":              tree([]string{"a"}, []string{"b", "c"}),
		"good-v2":                treeV2(dict{"a": leafV2(nil)}),
		"good-large":             with(dict{"length": int64(8) << 40, "piece length": 64 << 20, "pieces": strings.Repeat("x", 20<<17)}),
		"name-dot":               with(dict{"name": ".ssh"}),
		"name-work":              with(dict{"name": ".shoal-0123456789ab"}),
		"empty":                  "",
		"text":                   "this is not bencode",
		"html":                   "<!doctype html><title>404</title>",
		"number":                 "i42e",
		"no-info":                "d7:comment3:abce",
		"info-is-text":           "d4:info4:texte",
		"truncated":              good[:len(good)-10],
		"trailing":               good + "x",
		"deep":                   "d4:info" + strings.Repeat("l", 100_000) + strings.Repeat("e", 100_000) + "e",
		"huge-string":            "d4:infod4:name99999999999:x",
		"overflowing-string":     "d4:infod4:name99999999999999999999999:x",
		"unsorted":               "d4:infod6:lengthi5e4:name4:file6:pieces20:" + strings.Repeat("x", 20) + "12:piece lengthi16384eee",
		"name-missing":           with(dict{"name": nil}),
		"name-empty":             with(dict{"name": ""}),
		"name-number":            with(dict{"name": 3}),
		"name-dotdot":            with(dict{"name": ".."}),
		"name-path":              with(dict{"name": "a/b"}),
		"name-absolute":          with(dict{"name": "/etc/passwd"}),
		"name-drive":             with(dict{"name": `C:\x`}),
		"name-nul":               with(dict{"name": "a\x00b"}),
		"name-not-utf8":          with(dict{"name": "\xff\xfe"}),
		"name-long":              with(dict{"name": strings.Repeat("n", 256)}),
		"name-device":            with(dict{"name": "con"}),
		"name-device-extension":  with(dict{"name": "NUL.txt"}),
		"name-dot-at-end":        with(dict{"name": "file."}),
		"name-control":           with(dict{"name": "a\x1b]0;owned\x07"}),
		"path-dotdot":            tree([]string{"a"}, []string{"..", "x"}),
		"path-dotdot-inside":     tree([]string{"a", "..", "..", "x"}),
		"path-absolute":          tree([]string{"/etc/passwd"}),
		"path-backslash":         tree([]string{`..\x`}),
		"path-empty":             tree([]string{}),
		"path-empty-component":   tree([]string{"a", "", "b"}),
		"path-device":            tree([]string{"a"}, []string{"com1", "x"}),
		"path-deep":              tree(strings.Split(strings.Repeat("d/", 100)+"x", "/")),
		"case-collision":         tree([]string{"README"}, []string{"readme"}),
		"case-collision-dir":     tree([]string{"Doc", "a"}, []string{"doc", "A"}),
		"same-path":              tree([]string{"a"}, []string{"a"}),
		"file-as-directory":      tree([]string{"a"}, []string{"a", "b"}),
		"symlink-out":            with(dict{"length": nil, "files": []dict{{"length": 5, "path": []string{"f"}}, {"length": 0, "path": []string{"l"}, "attr": "l", "symlink path": []string{"..", "x"}}}}),
		"symlink-absolute":       with(dict{"length": nil, "files": []dict{{"length": 5, "path": []string{"f"}}, {"length": 0, "path": []string{"l"}, "attr": "l", "symlink path": []string{"/etc/passwd"}}}}),
		"piece-length-zero":      with(dict{"piece length": 0}),
		"piece-length-negative":  with(dict{"piece length": -16384}),
		"piece-length-huge":      with(dict{"piece length": int64(1) << 62}),
		"piece-length-missing":   with(dict{"piece length": nil}),
		"length-negative":        with(dict{"length": -1}),
		"length-missing":         with(dict{"length": nil}),
		"length-huge":            with(dict{"length": int64(math.MaxInt64)}),
		"lengths-overflow":       with(dict{"length": nil, "files": []dict{{"length": int64(math.MaxInt64), "path": []string{"a"}}, {"length": int64(math.MaxInt64), "path": []string{"b"}}}}),
		"length-and-files":       with(dict{"files": []dict{{"length": 5, "path": []string{"a"}}}}),
		"pieces-missing":         with(dict{"pieces": nil}),
		"pieces-short":           with(dict{"pieces": strings.Repeat("x", 19)}),
		"pieces-too-few":         with(dict{"length": 100_000}),
		"pieces-too-many":        with(dict{"pieces": strings.Repeat("x", 40)}),
		"v2-unknown-version":     with(dict{"meta version": 3}),
		"v2-root-missing":        treeV2(dict{"a": leafV2(dict{"pieces root": nil})}),
		"v2-root-short":          treeV2(dict{"a": leafV2(dict{"pieces root": "short"})}),
		"v2-dotdot":              treeV2(dict{"..": leafV2(nil)}),
		"v2-empty-tree":          treeV2(dict{}),
		"v2-file-as-directory":   treeV2(dict{"a": dict{"": leafV2(nil)[""], "b": leafV2(nil)}}),
		"v2-layer-wrong":         string(bencode.MustMarshal(dict{"info": dict{"name": "t", "piece length": 16384, "meta version": 2, "file tree": dict{"a": leafV2(dict{"length": 40_000})}}, "piece layers": dict{strings.Repeat("r", 32): strings.Repeat("h", 96)}})),
		"v2-piece-length-odd":    string(bencode.MustMarshal(dict{"info": dict{"name": "t", "piece length": 20_000, "meta version": 2, "file tree": dict{"a": leafV2(nil)}}, "piece layers": dict{}})),
		"hybrid-halves-disagree": with(dict{"meta version": 2, "file tree": dict{"other": leafV2(dict{"length": 5})}}),
	}
}

// bad-torrent KIND FILE writes one of badTorrents.
func scriptBadTorrent(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: bad-torrent KIND FILE")
	}
	content, ok := badTorrents()[args[0]]
	if !ok {
		ts.Fatalf("no bad torrent %q", args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(content), 0o644))
}

// Each bad torrent is refused by every command that reads one, with exit code 4 and one line that names the
// file; the good ones among them are not, to be sure that the bad ones are refused for their reason.
func TestBadTorrentsAreRefused(t *testing.T) {
	for kind, content := range badTorrents() {
		t.Run(kind, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), kind+".torrent")
			if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(kind, "good") {
				if code, _, stderr := runShoal(t, "inspect", file); code != 0 {
					t.Errorf("inspect: exit code %d, want 0: %s", code, stderr)
				}
				return
			}
			for _, args := range [][]string{{"inspect", file}, {"verify", file, "."}} {
				code, stdout, stderr := runShoal(t, args...)
				if code != exitCorrupt || stdout != "" {
					t.Errorf("%s: exit code %d and %q, want %d and no result", args[0], code, stdout, exitCorrupt)
				}
				if !strings.HasPrefix(stderr, "shoal: "+file+": ") || strings.Count(stderr, "\n") != 1 || strings.ContainsAny(stderr, "\x1b\x07") {
					t.Errorf("%s: stderr is not one clean line that names the file: %q", args[0], stderr)
				}
			}
			code, stdout, stderr := runShoal(t, "inspect", file, "--json")
			if code != exitCorrupt || stderr != "" || !strings.Contains(stdout, `"event":"error"`) || !strings.Contains(stdout, `"code":4,"rule":"bad-torrent"`) {
				t.Errorf("--json: exit code %d, %q and on stderr %q, want %d and an error object", code, stdout, stderr, exitCorrupt)
			}
		})
	}
}

// runShoal runs a command line in this process.
func runShoal(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	e := &env{stdout: &out, stderr: &err, lookupEnv: variables()}
	code = e.main(t.Context(), append([]string{"shoal"}, args...))
	return code, out.String(), err.String()
}
