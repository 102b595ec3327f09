package deliver

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// inTree changes to a directory in which app:stable is a file, so that precedence shows.
func inTree(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"a.torrent": "de", "repo/shoal.json": "{}", "tree/file": "", "tool:stable": "de", "sub/x@1": "de"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
}

func TestClassify(t *testing.T) {
	inTree(t)
	for _, tt := range []struct {
		source string
		kind   Kind
		what   string // URL, path, or base + app:channel or app@version
	}{
		{"magnet:?xt=urn:btih:" + hash1, KindMagnet, ""},
		{"http://h/app:stable", KindRelease, "http://h/ app:stable"},
		{"magnet:?xs=urn:btpk:" + hash2 + "&s=72&dn=app:stable", KindRelease, " app:stable"},
		{"http://h:7070/pre/fix/app:stable", KindRelease, "http://h:7070/pre/fix/ app:stable"},
		{"https://h/app@1.2+x", KindRelease, "https://h/ app@1.2+x"},
		{"https://u:p@h/app%401.2?token=1", KindRelease, "https://u:p@h/ app@1.2"},
		{"http://h/a%2Fb/app@1", KindRelease, "http://h/a%2Fb/ app@1"},
		{"http://h/app@1.torrent", KindRelease, "http://h/ app@1.torrent"}, // first match
		{"http://h/x.torrent", KindMetainfoURL, "http://h/x.torrent"},
		{"HTTPS://h/p/x.TORRENT?k=v", KindMetainfoURL, "https://h/p/x.TORRENT?k=v"},
		{"http://h/name", KindURL, "http://h/name"},
		{"http://h/Name:Stable", KindURL, "http://h/Name:Stable"}, // upper case is no app
		{"http://h/app:8080", KindURL, "http://h/app:8080"},       // a port is no channel
		{"http://[::1]:7070/name", KindURL, "http://[::1]:7070/name"},
		{"a.torrent", KindFile, "a.torrent"},
		{"./a.torrent", KindFile, "./a.torrent"},
		{"tool:stable", KindFile, "tool:stable"}, // a path that exists comes before a release
		{"sub/x@1", KindFile, "sub/x@1"},
		{"repo", KindRepository, "repo"},
		{"other:stable", KindRelease, " other:stable"},
		{"other@2025.1", KindRelease, " other@2025.1"},
	} {
		s, err := Classify(tt.source)
		if err != nil {
			t.Errorf("Classify(%q): %v", tt.source, err)
			continue
		}
		var what string
		switch s.Kind {
		case KindMetainfoURL, KindURL:
			what = s.URL.String()
		case KindFile, KindRepository:
			what = s.Path
		case KindRelease:
			if s.Release.Repository != nil {
				what = s.Release.Repository.String()
			}
			if what += " " + s.Release.App; s.Release.Channel != "" {
				what += ":" + s.Release.Channel
			} else {
				what += "@" + s.Release.Version
			}
		}
		if s.Kind != tt.kind || what != tt.what {
			t.Errorf("Classify(%q) = %v %q, want %v %q", tt.source, s.Kind, what, tt.kind, tt.what)
		}
	}
}

func TestClassifyRefuses(t *testing.T) {
	inTree(t)
	for _, tt := range []struct{ source, message, hint string }{
		{"", "empty", "magnet:?"},
		{"nothing", "not a source", "magnet:?"},
		{"other.torrent", "no file", "magnet:?"},
		{"some/where", "no file", ""},
		{"tree", "is a directory", "shoal serve tree"},
		{"announce:stable", "reserved", ""},
		{"http://h/v1@2", "reserved", ""},
		{"http://", "not a URL", "http://HOST"},
		{"http://h/%zz", "not a URL", "http://HOST"},
		{"http://h:7070", "names no content", "http://h:7070/NAME"},
		{"http://h/dir/", "names no content", "http://h/dir/NAME"},
		{"ftp://h/x.torrent", "ftp://", "http(s)://"},
		{"file:///tmp/x.torrent", "not a source", "/tmp/x.torrent"},
		{"localhost:7070/name", "no file", "http://localhost:7070/name"},
		{"example.org/x.torrent", "no file", "http://example.org/x.torrent"},
		{hash1, "info hash", "magnet:?xt=urn:btih:" + hash1},
		{hash32, "info hash", "magnet:?xt=urn:btih:" + hash32},
		{hash2, "info hash", "magnet:?xt=urn:btmh:1220" + hash2},
		{"1220" + hash2, "info hash", "magnet:?xt=urn:btmh:1220" + hash2},
		{"?xt=urn:btih:" + hash1, "not a source", "magnet:?xt=urn:btih:" + hash1},
		{"magnet:?dn=x", "without an info hash", "quoted"},
		{"magnet:?xs=urn:btpk:" + hash2, "not which of its releases", "dn=APP"},
		{"magnet:?xs=urn:btpk:" + hash1 + "&dn=app:stable", "btpk key", ""},
		{strings.Repeat("x", 5000), "not a source", "magnet:?"},
		{"nul\x00byte", "not a source", "magnet:?"},
	} {
		s, err := Classify(tt.source)
		var e *Error
		if !errors.As(err, &e) || !errors.Is(err, ErrSource) {
			t.Errorf("Classify(%.50q) = %+v, %v, want an *Error of kind ErrSource", tt.source, s, err)
			continue
		}
		if !strings.Contains(e.Message, tt.message) || !strings.Contains(e.Hint, tt.hint) {
			t.Errorf("Classify(%.50q): got %q, %q, want %q, %q", tt.source, e.Message, e.Hint, tt.message, tt.hint)
		}
	}
}

// A URL is a release, a metainfo or a name, whatever stands in it; where a release is found, its
// repository and its name make up the URL again.
func FuzzClassifyURL(f *testing.F) {
	for _, s := range []string{"h/app:stable", "h/a/b@1?x#y", "h/x.torrent", "h/%2e%2e/app%40%31", "[::1]:1/a%2Fapp@1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		source, err := classifyURL("http://" + s)
		if err != nil {
			if !errors.Is(err, ErrSource) {
				t.Fatalf("classifyURL(%q): %v, want a source error", s, err)
			}
			return
		}
		if source.Kind != KindRelease {
			if source.URL == nil || source.URL.Host == "" {
				t.Fatalf("classifyURL(%q) = %+v, without a host", s, source)
			}
			return
		}
		r := source.Release
		if (r.Channel == "") == (r.Version == "") || !strings.HasSuffix(r.Repository.String(), "/") {
			t.Fatalf("classifyURL(%q) = %+v", s, r)
		}
		name := r.App + ":" + r.Channel
		if r.Version != "" {
			name = r.App + "@" + r.Version
		}
		again, err := classifyURL(r.Repository.String() + name)
		if err != nil || again.Release.Repository.String() != r.Repository.String() {
			t.Fatalf("classifyURL(%q) = %s + %s, and of that %+v, %v", s, r.Repository, name, again, err)
		}
	})
}
