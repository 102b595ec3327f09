package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"shoal/internal/swarmtest"
)

// The program from outside, where a script does not reach: what happens between a begin and an end.

// origin serves a path on loopback and waits until it is ready.
func origin(h *swarmtest.Host, path string, args ...string) (*swarmtest.Process, swarmtest.Event) {
	p := h.Start(append([]string{"serve", path, "--listen", "127.0.0.1:0"}, args...)...)
	serving := p.Expect("serving")
	p.Expect("ready")
	return p, serving
}

// leftovers are the working directories of unfinished fetches.
func leftovers(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, ".shoal-*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestInterruptedGetGoesOn(t *testing.T) {
	needsSignals(t)
	t.Parallel()
	h := swarmtest.Local(t)
	content := swarmtest.File(t, h.Path("release.bin"), 16<<20)
	_, serving := origin(h, content)
	out := h.Path("out")

	get := h.Start("get", serving.String("url"), "-o", out, "--limit-down", "1Mi")
	so := get.Expect("progress", func(e swarmtest.Event) bool { return e.Int("done") > 0 })
	if held := h.Run("get", serving.String("url"), "-o", out); held.Wait() != exitHeld {
		t.Errorf("a second get into the same directory: exit code %d, want %d\n%s", held.Wait(), exitHeld, held.Output())
	}
	get.Signal(syscall.SIGINT)
	get.Fail(exitInterrupted)
	if e := get.Expect("error"); e.Int("code") != exitInterrupted || e.String("rule") != "interrupted" || e.String("hint") == "" {
		t.Errorf("error object %v, want code, rule and a hint", e)
	}
	if len(leftovers(t, out)) != 1 {
		t.Errorf("working directories after an interruption: %q, want one", leftovers(t, out))
	}
	if _, err := os.Stat(filepath.Join(out, "release.bin")); err == nil {
		t.Error("an unfinished file has its name")
	}

	done := h.Run("get", serving.String("url"), "-o", out).Succeed().Expect("done")
	if reuse := done.Int("from.reuse"); reuse < so.Int("done") || reuse+done.Int("from.origin") != done.Int("bytes") {
		t.Errorf("done %v: want what was there, at least %d, reused, and the rest from the origin", done, so.Int("done"))
	}
	swarmtest.Same(t, content, filepath.Join(out, "release.bin"))
	if l := leftovers(t, out); len(l) > 0 {
		t.Errorf("left behind: %q", l)
	}
}

// The words that scripts rely on, field by field and in order.
func TestEvents(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	content := swarmtest.File(t, h.Path("release.bin"), 1600<<10)
	serve, serving := origin(h, content)
	get := h.Run("get", serving.String("url"), "-o", h.Path("out"), "--limit-down", "1M").Succeed()
	failed := h.Run("get", serving.String("url")+"x").Fail(exitNoSource)
	demoless := map[string]string{
		"listening": "event time address port dht dht_reason",
		"serving":   "event time name path infohash bytes pieces files get url torrent magnet cached also",
		"ready":     "event time port contents",
		"start":     "event time name total",
		"progress":  "event time name done total bytes_per_second from{reuse lan peers edges origin}",
		"done":      "event time name infohash bytes seconds from{reuse lan peers edges origin} wasted_bytes efficiency t_min_seconds held_seconds{link limit lan peers edges origin choked pieces nobody disk} idle_seconds{choked disk governor limit nothing_wanted queue_empty refused unasked}",
		"error":     "event time code rule message hint",
	}
	for event, want := range demoless {
		from := get
		switch event {
		case "listening", "serving", "ready":
			from = serve
		case "error":
			from = failed
		}
		found := false
		for _, line := range from.Lines() {
			if !strings.HasPrefix(line, `{"event":"`+event+`"`) {
				continue
			}
			found = true
			if got := keysOf(t, line); got != want {
				t.Errorf("%s has the fields %s, want %s", event, got, want)
			}
		}
		if !found {
			t.Errorf("no event %s\n%s", event, from.Output())
		}
	}
	lines := get.Lines()
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, `{"event":"done"`) {
		t.Errorf("the last line is %s, want done", last)
	}
	// A limit is a limit: two thirds of the time it must take, in case a bucket begins full.
	if s := get.Expect("done")["seconds"].(float64); s < 1.6*2/3 {
		t.Errorf("1.6 MB at 1 MB/s took %v s", s)
	}
}

// While it seeds after its own download a machine replaces the origin.
func TestSeedForOutlivesTheOrigin(t *testing.T) {
	needsSignals(t)
	t.Parallel()
	h := swarmtest.Local(t)
	content := swarmtest.Tree(t, h.Path("release"), 2<<20)
	tracker := h.Start("tracker", "--open", "--listen", "127.0.0.1:0").Expect("tracking").String("http")
	torrent := h.Path("release.torrent")
	h.Run("create", content, "-o", torrent, "--tracker", tracker).Succeed()
	seed := h.Start("seed", torrent, content, "--listen", "127.0.0.1:0")
	seed.Expect("seeding")

	first := h.Start("get", torrent, "-o", h.Path("first"), "--seed-for", "1h")
	first.Expect("done")
	seed.Kill()
	done := h.Run("get", torrent, "-o", h.Path("second")).Succeed().Expect("done")
	if done.Int("from.peers") != done.Int("bytes") {
		t.Errorf("done %v: want all bytes from peers", done)
	}
	swarmtest.Same(t, content, h.Path("second", "release"))
	first.Stop()
	if e := first.Expect("stopped"); e.Int("sent_bytes") != done.Int("bytes") || e.Int("to.peers") != done.Int("bytes") {
		t.Errorf("stopped %v: want %d bytes sent to peers", e, done.Int("bytes"))
	}
}

func TestStdoutIsAPipe(t *testing.T) {
	needsSignals(t)
	t.Parallel()
	h := swarmtest.Local(t)
	content := swarmtest.File(t, h.Path("release.bin"), 5<<20)
	_, serving := origin(h, content)
	want, err := os.ReadFile(content)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	whole := h.Shoal(ctx, "get", serving.String("url"), "--stdout", "-q")
	got, err := whole.Output()
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes on stdout, same %v, want the content's %d (%v)", len(got), bytes.Equal(got, want), len(want), err)
	}

	// The other side has read enough: shoal ends, says so, and cleans up.
	broken := h.Shoal(ctx, "get", serving.String("url"), "--stdout", "-q")
	var stderr bytes.Buffer
	broken.Stderr = &stderr
	pipe, err := broken.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := broken.Start(); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 1000)
	if _, err := io.ReadFull(pipe, head); err != nil || !bytes.Equal(head, want[:1000]) {
		t.Errorf("the first bytes differ (%v)", err)
	}
	pipe.Close()
	err = broken.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitClosed || stderr.Len() > 0 {
		t.Errorf("after a broken pipe: %v, stderr %q; want exit code %d without a word", err, &stderr, exitClosed)
	}
	if left, err := os.ReadDir(h.Path("tmp")); err != nil || len(left) > 0 {
		t.Errorf("left in the temporary directory: %v %v", left, err)
	}
}

// What a web server that knows nothing of us answers.
func TestWebPages(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/page"):
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, "<!doctype html><title>Welcome</title>")
		case strings.HasPrefix(r.URL.Path, "/content"):
			w.Header().Set("Content-Type", "application/octet-stream")
			io.CopyN(w, zeros{}, 1<<30)
		case strings.HasPrefix(r.URL.Path, "/cut"):
			fmt.Fprint(w, "d4:infod6:length")
		case strings.HasPrefix(r.URL.Path, "/error"):
			http.Error(w, "busy", http.StatusServiceUnavailable)
		case strings.HasPrefix(r.URL.Path, "/loop"):
			http.Redirect(w, r, "/loop", http.StatusFound)
		}
	}))
	t.Cleanup(server.Close)
	for path, want := range map[string]int{
		"/page": exitNoSource, "/page.torrent": exitNoSource, "/content": exitNoSource, "/error": exitNoSource, "/loop": exitNoSource,
		"/cut": exitCorrupt, "/cut.torrent": exitCorrupt, "/empty.torrent": exitCorrupt,
	} {
		p := h.Run("get", server.URL+path, "-o", h.Path("out"))
		if code, e := p.Wait(), p.Expect("error"); code != want || e.Int("code") != int64(want) || e.String("hint") == "" && want == exitNoSource {
			t.Errorf("%s: exit code %d, %v; want %d and a hint", path, code, e, want)
		}
	}
	if left, err := os.ReadDir(h.Path("out")); err == nil && len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// A seed whose usual port is taken listens elsewhere, and says so.
func TestSeedFindsAnotherPort(t *testing.T) {
	needsSignals(t)
	h := swarmtest.Local(t)
	content := swarmtest.File(t, h.Path("release.bin"), 1<<16)
	h.Run("create", content, "-o", h.Path("x.torrent")).Succeed()
	if ln, err := net.Listen("tcp", ":7070"); err == nil { // else somebody has it, which is as good
		defer ln.Close()
	}
	seed := h.Start("seed", h.Path("x.torrent"), content)
	if n := seed.Expect("notice").String("message"); !strings.HasPrefix(n, "port 7070 is taken: listening on ") {
		t.Errorf("notice %q", n)
	}
	if port := seed.Expect("seeding").Int("port"); port == 7070 || port == 0 {
		t.Errorf("port %d, want another", port)
	}
	seed.Stop()
}

func TestDemo(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	content := swarmtest.Tree(t, h.Path("release"), 2<<20)
	done := h.Run("demo", content, "--limit-up", "4Mi").Succeed().Expect("done")
	if done.Int("verified") != done.Int("machines") || done.Int("machines") != 10 {
		t.Errorf("%v: want 10 machines verified", done)
	}
	if copies, _ := done["origin_copies"].(float64); copies < 1 || copies > 6 {
		t.Errorf("the origin sent %v copies, want far fewer than ten", copies)
	}
	if sum := done.Int("from.lan") + done.Int("from.peers") + done.Int("from.edges") + done.Int("from.origin"); sum != 10*done.Int("bytes") {
		t.Errorf("sources sum up to %d of %d bytes", sum, 10*done.Int("bytes"))
	}
	nothingLeft(t, h)
}

func TestInterruptedDemo(t *testing.T) {
	needsSignals(t)
	t.Parallel()
	h := swarmtest.Local(t)
	content := swarmtest.File(t, h.Path("release.bin"), 4<<20)
	demo := h.Start("demo", content, "--limit-up", "500K") // which takes eight seconds and more
	demo.Expect("start", func(e swarmtest.Event) bool { return e.String("name") == "fetching" })
	time.Sleep(300 * time.Millisecond) // somewhere midway: any moment will do
	demo.Signal(syscall.SIGINT)
	demo.Fail(exitInterrupted)
	nothingLeft(t, h)
}

// nothingLeft wants no temporary file of the host's, and no process that works on one.
func nothingLeft(t *testing.T, h *swarmtest.Host) {
	t.Helper()
	left, err := os.ReadDir(h.Path("tmp"))
	if err != nil || len(left) > 0 {
		t.Errorf("left in the temporary directory: %v %v", left, err)
	}
	if runtime.GOOS != "linux" {
		return
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if b, err := os.ReadFile(line); err == nil && strings.Contains(string(b), h.Path("tmp")) {
			t.Errorf("still running: %s", strings.ReplaceAll(string(b), "\x00", " "))
		}
	}
}

// keysOf writes the keys of a JSON object in their order, those of inner objects in braces.
func keysOf(t *testing.T, line string) string {
	t.Helper()
	d := newKeyReader(line)
	keys, err := d.object()
	if err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	return keys
}

func needsSignals(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("no SIGINT")
	}
}
