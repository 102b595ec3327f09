package webfetch

import (
	"strings"
	"testing"

	"shoal/piece"
)

func TestURLsFollowBEP19(t *testing.T) {
	single := v1Info(t, "my file#1.bin", testFile{"", []byte("x")})
	v2 := v2Info(t, "ü?.bin", 5)
	tree := v1Info(t, "tree 100%", testFile{"a b/c;d+e.txt", []byte("x")})
	for _, c := range []struct {
		in         *piece.Info
		base, want string
	}{
		{single, "http://h/dir/", "http://h/dir/my%20file%231.bin"},
		{single, "http://h/dir/other.bin", "http://h/dir/other.bin"},
		{single, "http://h", "http://h/my%20file%231.bin"},
		{single, "http://h/get?id=1", "http://h/get?id=1"},
		{single, "http://h/a%2Fb/?k=v#frag", "http://h/a%2Fb/my%20file%231.bin?k=v"},
		{single, "http://h/content/" + strings.Repeat("a", 40) + "/", "http://h/content/" + strings.Repeat("a", 40) + "/my%20file%231.bin"},
		{v2, "http://h/x/", "http://h/x/%C3%BC%3F.bin"}, // not the name twice
		{v2, "http://h/x/file", "http://h/x/file"},
		{tree, "https://h:8443/dir/", "https://h:8443/dir/tree%20100%25/a%20b/c%3Bd%2Be.txt"},
		{tree, "https://h:8443/dir", "https://h:8443/dir/tree%20100%25/a%20b/c%3Bd%2Be.txt"},
		{tree, "http://[::1]:80", "http://[::1]:80/tree%20100%25/a%20b/c%3Bd%2Be.txt"},
		{tree, "http://u:p@h/with space/?q", "http://u:p@h/with%20space/tree%20100%25/a%20b/c%3Bd%2Be.txt?q"},
	} {
		base, err := parseBase(c.base)
		if err != nil {
			t.Fatal(err)
		}
		if got := fileURL(base, c.in, 0).String(); got != c.want {
			t.Errorf("%s of %s: %s, want %s", c.base, c.in.Name, got, c.want)
		}
	}
	for _, bad := range []string{"", "h/x", "ftp://h/x", "file:///etc/passwd", "http:///x", "http://", "javascript:alert(1)", "http://h:port/", "http://h/%zz"} {
		if s, err := New(Config{URL: bad, Info: single}); err == nil {
			t.Errorf("New took %q as %v", bad, s.base)
		}
	}
}

// A web seed is known by the address that is dialled, as the peer behind the same port is.
func TestAddr(t *testing.T) {
	for raw, want := range map[string]string{
		"http://a.example/": "a.example:80", "https://a.example/x/": "a.example:443",
		"http://198.18.0.1:7070/content/x/": "198.18.0.1:7070", "http://[2001:db8::1]/": "[2001:db8::1]:80",
	} {
		s, err := New(Config{URL: raw, Info: &piece.Info{}})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Addr(); got != want {
			t.Errorf("%s: %s, want %s", raw, got, want)
		}
	}
}
