package interop

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"shoal/internal/swarmtest"
)

// nginx serves a directory at the host's address; the result is its URL.
func nginx(t *testing.T, h *swarmtest.Host, dir string) string {
	t.Helper()
	port := h.FreePort()
	conf := write(t, h.Path("nginx.conf"), lines(`
daemon off;
worker_processes 1;
pid %[1]s/nginx.pid;
error_log stderr;
%[4]s
events {}
http {
	access_log %[1]s/access.log;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	sendfile on;
	server { listen 127.0.0.1:%[2]d; location / { root "%[3]s"; } }
}
`, h.Path("tmp"), port, dir, user()), 0o644)
	h.StartProgram("nginx", "-c", conf, "-e", "stderr", "-p", h.Path("tmp"))
	return waitFor(t, port)
}

// user has nginx's worker read what the test has written.
func user() string {
	if os.Geteuid() == 0 {
		return "user root;"
	}
	return ""
}

// waitFor waits until somebody listens at a port of loopback, and returns its URL.
func waitFor(t *testing.T, port int) string {
	t.Helper()
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	eventually(t, func() error {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err
	})
	return "http://" + addr + "/"
}

func TestNginxIsAWebSeed(t *testing.T) {
	swarmtest.Require(t, "interop", "nginx")
	t.Parallel()
	for _, format := range formats {
		t.Run(format, func(t *testing.T) {
			h := swarmtest.Local(t)
			content := swarmtest.Tree(t, h.Path("www", "release"), size)
			url := nginx(t, h, h.Path("www"))
			torrent := create(t, h, content, format, "--web-seed", url)
			timed(t, "without peers", func() {
				if done := get(t, h, torrent, content, "--peers", "off"); done.Int("from.origin") != done.Int("bytes") || done.Int("wasted_bytes") != 0 {
					t.Errorf("%v: want all from the web seed, nothing twice", done)
				}
			})
			bare := create(t, h, content, format)
			peer := seed(h, bare, content, "--limit-up", "4M")
			timed(t, "with a peer", func() {
				if done := get(t, h, torrent, content, "--peer", peer); done.Int("from.origin")+done.Int("from.peers") != done.Int("bytes") {
					t.Errorf("%v: want all from the web seed and the peer", done)
				}
			})
			// The origin of a file is a URL that names it, not a directory.
			file := swarmtest.File(t, h.Path("www", "one file.bin"), size/4)
			single := create(t, h, file, format, "--web-seed", url+"one%20file.bin")
			get(t, h, single, file, "--peers", "off")
		})
	}
}

// A server that knows no ranges sends everything each time it is asked.
func TestPythonIsAWebSeed(t *testing.T) {
	swarmtest.Require(t, "interop", "python3")
	h := swarmtest.Local(t)
	content := swarmtest.Tree(t, h.Path("www", "release"), size)
	port := h.FreePort()
	h.StartProgram("python3", "-m", "http.server", fmt.Sprint(port), "--bind", "127.0.0.1", "--directory", h.Path("www"))
	url := waitFor(t, port)
	timed(t, "without peers", func() { get(t, h, create(t, h, content, "hybrid", "--web-seed", url), content, "--peers", "off") })
}

// A .torrent beside the content on any web server is a SOURCE.
func TestNginxPublishes(t *testing.T) {
	swarmtest.Require(t, "interop", "nginx")
	h := swarmtest.Local(t)
	content := swarmtest.File(t, h.Path("www", "release.bin"), size)
	url := nginx(t, h, h.Path("www"))
	h.Run("create", content, "-o", content+".torrent", "--web-seed", url).Succeed()
	get(t, h, url+"release.bin", content)
	get(t, h, url+"release.bin.torrent", content)
	h.Run("get", url+"none", "-o", h.Path("out")).Fail(3)
}

func TestCurlDownloads(t *testing.T) {
	swarmtest.Require(t, "interop", "curl")
	h := swarmtest.Local(t)
	s := serve(h, swarmtest.Tree(t, h.Path("release"), size))
	for _, name := range []string{"bin/tool", "data/größe 1.bin", "small/empty"} {
		want, err := os.ReadFile(filepath.Join(s.content, name))
		if err != nil {
			t.Fatal(err)
		}
		out := h.Path("out")
		curl := func(args ...string) {
			t.Helper()
			h.Do("curl", append([]string{"-sSf", "-o", out, s.url + "/" + escape(name)}, args...)...)
			got, err := os.ReadFile(out)
			if err != nil || string(got) != string(want) {
				t.Errorf("%s %q: %d bytes that differ from the %d wanted (%v)", name, args, len(got), len(want), err)
			}
		}
		curl()
		if len(want) == 0 {
			continue
		}
		all := want
		want = all[1000:5001]
		curl("-r", "1000-5000")
		want = all[len(all)-77:]
		curl("-r", "-77")
		want = all
		if err := os.WriteFile(out, all[:len(all)/2], 0o644); err != nil {
			t.Fatal(err)
		}
		curl("-C", "-") // goes on where it has stopped
	}
	if code := h.StartProgram("curl", "-sSf", "-o", h.Path("out"), s.url+"/none").Wait(); code != 22 {
		t.Errorf("curl exits with %d for a file that is not there, want 22", code)
	}
}
