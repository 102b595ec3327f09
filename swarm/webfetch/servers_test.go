package webfetch

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"shoal/internal/webseed"
	"shoal/piece"
)

// treeOnDisk writes files below dir/NAME and describes them.
func treeOnDisk(t testing.TB, name string) (in *piece.Info, dir string, all []byte) {
	t.Helper()
	dir = t.TempDir()
	files := []testFile{
		{"a b.bin", random(150_000, 1)}, {"dir#1/100%.txt", random(3, 2)}, {"dir#1/empty", nil}, {"ü/?;=&+,'.bin", random(70_000, 3)}, {"z", random(1<<20, 4)},
	}
	for _, f := range files {
		path := filepath.Join(dir, name, filepath.FromSlash(f.path))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.content, 0o644); err != nil {
			t.Fatal(err)
		}
		all = append(all, f.content...)
	}
	return v1Info(t, name, files...), dir, all
}

// fetchInPieces gets everything, a piece at a time and then in one.
func fetchInPieces(t testing.TB, s *Source, in *piece.Info, all []byte) {
	t.Helper()
	for p := range in.NumPieces() {
		off, n := in.PieceSpan(p)
		if got, err := fetched(t, s, off, n); err != nil || !bytes.Equal(got, all[off:off+n]) {
			t.Fatalf("piece %d: %d bytes, %v", p, len(got), err)
		}
	}
	if got, err := fetched(t, s, 0, in.Space()); err != nil || !bytes.Equal(got, all) {
		t.Fatalf("everything: %d bytes, %v; want %d", len(got), err, len(all))
	}
}

// contentOf is how a room above describes a torrent to the web seed.
func contentOf(in *piece.Info, key, path string) webseed.Content {
	c := webseed.Content{Key: key, Name: in.Name, Dir: in.Dir, Path: path, Plain: true}
	for _, f := range in.Files {
		if f.Symlink == nil {
			c.Files = append(c.Files, webseed.File{Path: strings.Join(f.Path, "/"), Length: f.Length, Root: f.Root})
		}
	}
	return c
}

func TestAgainstOurOwnWebSeed(t *testing.T) {
	in, dir, all := treeOnDisk(t, "tree + ä")
	key := fmt.Sprintf("%x", in.V1[:])
	var h webseed.Handler
	if err := h.Add(contentOf(in, key, filepath.Join(dir, in.Name))); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(&h)
	defer srv.Close()
	for _, base := range []string{"/content/" + key + "/", "/", ""} {
		fetchInPieces(t, newSource(t, in, srv.URL+base), in, all)
	}
	want := int64(3 * 2 * len(all))
	for end := time.Now().Add(2 * time.Second); h.Sent(key) < want && time.Now().Before(end); {
		time.Sleep(time.Millisecond) // the last bytes are counted after we have them
	}
	if h.Sent(key) != want {
		t.Errorf("the web seed counted %d bytes, want %d", h.Sent(key), want)
	}

	s := newSource(t, in, srv.URL+"/content/"+key+"/")
	last := in.Files[len(in.Files)-1]
	if _, err := fetched(t, s, last.Offset, 10); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, in.Name, "z"), 5); err != nil {
		t.Fatal(err)
	}
	var gone *Gone
	if _, err := fetched(t, s, last.Offset, 10); !errors.As(err, &gone) || gone.Status != 410 || gone.File != len(in.Files)-1 {
		t.Errorf("a file that was cut on the server: %v, want Gone with status 410", err)
	}
	h.Remove(key)
	if _, err := fetched(t, s, 0, 10); !errors.As(err, &gone) || gone.Status != 404 {
		t.Errorf("a content that is not served any more: %v, want Gone with status 404", err)
	}
}

func TestAgainstNginx(t *testing.T) {
	in, dir, all := treeOnDisk(t, "tree")
	base := startNginx(t, dir)
	for _, u := range []string{"/", "/content/" + strings.Repeat("a", 64) + "/"} {
		s := newSource(t, in, base+u)
		if u != "/" {
			if _, err := fetched(t, s, 0, 1); !errors.As(err, new(*Gone)) {
				t.Errorf("%s: %v, want Gone", u, err)
			}
			continue
		}
		fetchInPieces(t, s, in, all)

		// nginx makes its tags of time and length: another file of the same length is noticed.
		path := filepath.Join(dir, "tree", "z")
		if err := os.WriteFile(path, random(1<<20, 5), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
		if _, err := fetched(t, s, in.Space()-10, 10); !errors.Is(err, ErrChanged) {
			t.Errorf("a changed file: %v, want ErrChanged", err)
		}
		if err := os.Truncate(path, 100); err != nil {
			t.Fatal(err)
		}
		if _, err := fetched(t, s, in.Space()-10, 10); !errors.Is(err, ErrChanged) {
			t.Errorf("a file that was cut: %v, want ErrChanged", err)
		}
	}
	if role, err := newSource(t, in, base+"/").Probe(t.Context()); role != "" || err != nil {
		t.Errorf("nginx has the role %q, %v", role, err)
	}
}

// startNginx serves dir on a port of its own until the test ends.
func startNginx(t testing.TB, dir string) (base string) {
	t.Helper()
	required := slices.Contains(strings.Split(os.Getenv("SHOAL_REQUIRE"), ","), "interop")
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		nginx, err = exec.LookPath("/usr/sbin/nginx")
	}
	if err != nil {
		if required {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	work := t.TempDir()
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;" // its workers must get into the test's directory
	}
	for range 5 { // the free port may be taken before nginx takes it
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().String()
		l.Close()
		conf := fmt.Sprintf(`%s
daemon off;
worker_processes 1;
pid %[2]s/pid;
error_log stderr;
events {}
http {
	access_log off;
	sendfile on;
	client_body_temp_path %[2]s/a; proxy_temp_path %[2]s/b; fastcgi_temp_path %[2]s/c; uwsgi_temp_path %[2]s/d; scgi_temp_path %[2]s/e;
	gzip on; gzip_types *; gzip_min_length 1;
	server { listen %[3]s; location / { root %[4]q; } }
}
`, user, work, addr, dir)
		path := filepath.Join(work, "nginx.conf")
		if err := os.WriteFile(path, []byte(conf), 0o644); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		cmd := exec.Command(nginx, "-p", work, "-c", path, "-e", "stderr")
		cmd.Stderr = &log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		up := false
		for range 100 {
			resp, err := http.Get("http://" + addr + "/")
			if err == nil {
				resp.Body.Close()
				up = resp.Header.Get("Server") != "" && strings.HasPrefix(resp.Header.Get("Server"), "nginx")
				break
			}
			select {
			case err := <-ended:
				t.Logf("nginx: %v\n%s", err, log.String())
				ended <- err
			case <-time.After(20 * time.Millisecond):
				continue
			}
			break
		}
		stop := func() {
			cmd.Process.Signal(os.Interrupt) // fast shutdown, of the worker too
			<-ended
		}
		if up {
			t.Cleanup(stop)
			return "http://" + addr
		}
		stop()
	}
	t.Fatal("nginx does not start")
	return ""
}

// From a file on disk through web seed, loopback and Fetch to the caller.
func BenchmarkFetch(b *testing.B) {
	const size = 256 << 20
	path := filepath.Join(b.TempDir(), "f")
	if err := os.WriteFile(path, make([]byte, size), 0o644); err != nil {
		b.Fatal(err)
	}
	in := v1Info(b, "f", testFile{"", make([]byte, size)})
	var h webseed.Handler
	if err := h.Add(contentOf(in, strings.Repeat("a", 40), path)); err != nil {
		b.Fatal(err)
	}
	srv := httptest.NewServer(&h)
	defer srv.Close()
	s := newSource(b, in, srv.URL+"/")
	for _, run := range []int64{1 << 20, 16 << 20, size} {
		b.Run(fmt.Sprintf("requests of %d MiB", run>>20), func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				for off := int64(0); off < size; off += run {
					if err := s.Fetch(b.Context(), off, run, func(int64, []byte) error { return nil }); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
