package webseed

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	keyTree = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	keyFile = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// awkward are names that each need their own care in a URL.
var awkward = []string{"a.txt", "with space.txt", "100%.txt", "%41.txt", "a#b?c.txt", "ü/日本語.txt", "a+b&c=d;e,f.txt", "..x/...y", "it's \"q\" [1].txt", "empty"}

// serveTree writes the awkward files and serves them as a tree and, apart, one file of size bytes.
func serveTree(t *testing.T, size int, change func(*Handler, *Content)) (h *Handler, base string, tree, file *Content) {
	t.Helper()
	dir := t.TempDir()
	tree = &Content{Key: strings.ToUpper(keyTree), Name: "my tree", Dir: true, Path: filepath.Join(dir, "tree on disk"), Plain: true}
	for _, name := range awkward {
		content := []byte("content of " + name)
		if name == "empty" {
			content = nil
		}
		path := filepath.Join(tree.Path, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		tree.Files = append(tree.Files, File{Path: name, Length: int64(len(content)), Root: sha256.Sum256(content)})
	}
	file = &Content{Key: keyFile, Name: "file.bin", Path: filepath.Join(dir, "f"), Plain: true, Files: []File{{Length: int64(size)}}}
	if err := os.WriteFile(file.Path, random(size), 0o644); err != nil {
		t.Fatal(err)
	}
	h = &Handler{}
	for _, c := range []*Content{tree, file} {
		if change != nil {
			change(h, c)
		}
		if err := h.Add(*c); err != nil {
			t.Fatal(err)
		}
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return h, s.URL, tree, file
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{7}).Read(b)
	return b
}

func get(t *testing.T, method, url string, header ...string) (*http.Response, []byte, error) {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, b, err
}

func TestEachFileOfATreeHasItsURL(t *testing.T) {
	_, base, _, _ := serveTree(t, 1, nil)
	for _, name := range awkward {
		var escaped []string
		for _, part := range strings.Split(name, "/") {
			escaped = append(escaped, url.PathEscape(part))
		}
		for _, prefix := range []string{"/content/" + keyTree + "/", "/content/" + strings.ToUpper(keyTree) + "/", "/"} {
			u := base + prefix + "my%20tree/" + strings.Join(escaped, "/")
			resp, got, err := get(t, "GET", u)
			if err != nil {
				t.Fatal(err)
			}
			want := "content of " + name
			if name == "empty" {
				want = ""
			}
			if resp.StatusCode != 200 || string(got) != want {
				t.Errorf("%s: %s %q, want 200 %q", u, resp.Status, got, want)
			}
		}
	}
}

func TestOnlyListedFilesAreServed(t *testing.T) {
	_, base, tree, _ := serveTree(t, 1, nil)
	if err := os.WriteFile(filepath.Join(tree.Path, "secret"), []byte("not in the torrent"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"/", "/content/", "/content/" + keyTree, "/content/" + keyTree + "/", "/content/" + keyTree + "/my%20tree",
		"/content/" + keyTree + "/my%20tree/", "/content/" + keyTree + "/my%20tree/secret", "/my%20tree/secret", "/my%20tree",
		"/content/" + keyTree + "/my%20tree/../f", "/content/" + keyTree + "/my%20tree/%2e%2e/f", "/my%20tree//a.txt", "/my%20tree/./a.txt",
		"/my%20tree/%2fetc/passwd", "/my%20tree/a.txt%00", "/my%20tree/a.txt/", "/my%20tree/A.TXT", "/my%20treea.txt",
		"/content/" + keyFile + "/my%20tree/a.txt", "/content/" + strings.Repeat("c", 64) + "/my%20tree/a.txt",
		"/file.bin/", "/file.bin/x", "/file.binx", "/content/" + keyFile + "/", "//file.bin",
	} {
		c, err := net.Dial("tcp", strings.TrimPrefix(base, "http://")) // a client library would tidy the path
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "GET %s HTTP/1.0\r\n\r\n", path)
		got, _ := io.ReadAll(c)
		c.Close()
		if !bytes.HasPrefix(got, []byte("HTTP/1.0 404 ")) {
			t.Errorf("%s: %.80q, want 404", path, got)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
		if resp, _, _ := get(t, method, base+"/file.bin"); resp.StatusCode != 405 || resp.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %s, Allow %q", method, resp.Status, resp.Header.Get("Allow"))
		}
	}
}

func TestRanges(t *testing.T) {
	const size = 3<<20 + 17
	h, base, _, _ := serveTree(t, size, nil)
	all := random(size)
	u := base + "/content/" + keyFile + "/file.bin"
	resp, got, err := get(t, "GET", u)
	tag := resp.Header.Get("ETag")
	if err != nil || resp.StatusCode != 200 || !bytes.Equal(got, all) || resp.Header.Get("Accept-Ranges") != "bytes" ||
		len(tag) < 3 || tag[0] != '"' || resp.Header.Get("Content-Type") != "application/octet-stream" {
		t.Fatalf("whole file: %s, %d bytes, %v, header %v", resp.Status, len(got), err, resp.Header)
	}
	for _, c := range []struct {
		name, ranges, ifRange string
		status                int
		want                  []byte
	}{
		{"first byte", "bytes=0-0", "", 206, all[:1]},
		{"middle", "bytes=1000000-1999999", "", 206, all[1000000:2000000]},
		{"over several slices", "bytes=5-3000004", "", 206, all[5:3000005]},
		{"to the end", "bytes=3145700-", "", 206, all[3145700:]},
		{"last 17", "bytes=-17", "", 206, all[size-17:]},
		{"beyond", fmt.Sprintf("bytes=%d-", size), "", 416, nil},
		{"nonsense is ignored or refused", "bytes=x-y", "", 416, nil},
		{"another unit is ignored", "lines=1-2", "", 200, all},
		{"If-Range of these bytes", "bytes=10-19", tag, 206, all[10:20]},
		{"If-Range of others", "bytes=10-19", `"other"`, 200, all},
		{"weak If-Range never matches", "bytes=10-19", "W/" + tag, 200, all},
		{"too many ranges", "bytes=0-0" + strings.Repeat(",0-0", 200), "", 200, all},
	} {
		header := []string{"Range", c.ranges}
		if c.ifRange != "" {
			header = append(header, "If-Range", c.ifRange)
		}
		resp, got, err := get(t, "GET", u, header...)
		if err != nil || resp.StatusCode != c.status || c.want != nil && !bytes.Equal(got, c.want) {
			t.Errorf("%s: %s, %d bytes, %v; want %d, %d bytes", c.name, resp.Status, len(got), err, c.status, len(c.want))
		}
	}

	resp, got, err = get(t, "GET", u, "Range", "bytes=0-9,2000000-2000004")
	if err != nil || resp.StatusCode != 206 {
		t.Fatalf("two ranges: %s, %v", resp.Status, err)
	}
	_, params, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	parts := multipart.NewReader(bytes.NewReader(got), params["boundary"])
	for _, want := range [][]byte{all[:10], all[2000000:2000005]} {
		p, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(p); err != nil || !bytes.Equal(b, want) {
			t.Errorf("part %s: %x, %v; want %x", p.Header.Get("Content-Range"), b, err, want)
		}
	}

	before := settled(h)
	resp, got, err = get(t, "HEAD", u)
	if err != nil || resp.StatusCode != 200 || resp.ContentLength != size || len(got) != 0 || resp.Header.Get("ETag") != tag {
		t.Errorf("HEAD: %s, length %d, body %d, %v", resp.Status, resp.ContentLength, len(got), err)
	}
	if resp, _, _ := get(t, "GET", u, "If-None-Match", tag); resp.StatusCode != 304 {
		t.Errorf("If-None-Match: %s, want 304", resp.Status)
	}
	if n := settled(h); n != before {
		t.Errorf("HEAD and 304 counted %d bytes", n-before)
	}
	get(t, "GET", u, "Range", "bytes=0-99999")
	settled(h)
	if n := h.Sent(strings.ToUpper(keyFile)) - before; n != 100000 || h.Total() != h.Sent(keyFile) {
		t.Errorf("a range of 100000 counted %d bytes; total %d, content %d", n, h.Total(), h.Sent(keyFile))
	}
}

func TestTagsNameTheBytes(t *testing.T) {
	_, base, _, _ := serveTree(t, 5, nil)
	tags := map[string]string{}
	for _, path := range []string{"/my%20tree/a.txt", "/my%20tree/with%20space.txt", "/file.bin", "/my%20tree/empty"} {
		resp, _, err := get(t, "GET", base+path)
		if err != nil {
			t.Fatal(err)
		}
		tag := resp.Header.Get("ETag")
		if other := tags[tag]; other != "" || tag == "" {
			t.Errorf("%s and %s have the tag %s", path, other, tag)
		}
		tags[tag] = path
	}
}

// settled waits until requests that the client has seen the end of have counted, too.
func settled(h *Handler) int64 {
	for {
		n := h.Total()
		time.Sleep(30 * time.Millisecond)
		if h.Total() == n {
			return n
		}
	}
}
