package interop

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shoal/internal/cli"
	"shoal/internal/swarmtest"
)

func TestMain(m *testing.M) { swarmtest.Main(m, cli.Main) }

// size of the content in most tests: many pieces, and still quick with every client.
const size = 6 << 20

// served is what shoal offers to others.
type served struct {
	node    *swarmtest.Process
	content string
	url     string // of the content
	torrent string // URL of the .torrent
	magnet  string
	peer    string // HOST:PORT
}

// serve is an origin for content.
func serve(h *swarmtest.Host, content string, args ...string) served {
	p := h.Start(append([]string{"serve", content, "--listen", h.Addr.String() + ":0"}, args...)...)
	e := p.Expect("serving")
	p.Expect("ready")
	return served{p, content, e.String("url"), e.String("torrent"), e.String("magnet"), hostPort(e.String("url"))}
}

func hostPort(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		panic(err) // ours
	}
	return u.Host
}

// fetch gets what a URL answers.
func (s served) fetch(t *testing.T, h *swarmtest.Host, raw, name string) string {
	t.Helper()
	path := h.Path(name)
	h.Do("curl", "-sSf", "-o", path, raw)
	return path
}

// tracker is a tracker alone.
func tracker(h *swarmtest.Host) (http, udp string) {
	e := h.Start("tracker", "--open", "--listen", h.Addr.String()+":0").Expect("tracking")
	return e.String("http"), e.String("udp")
}

// create describes content as a .torrent of that format.
func create(t *testing.T, h *swarmtest.Host, content, format string, args ...string) string {
	t.Helper()
	torrent := filepath.Join(t.TempDir(), filepath.Base(content)+"-"+format+".torrent")
	h.Run(append([]string{"create", content, "--format", format, "-o", torrent}, args...)...).Succeed()
	return torrent
}

// seed gives content to others; the result is its HOST:PORT.
func seed(h *swarmtest.Host, torrent, content string, args ...string) string {
	return h.Start(append([]string{"seed", torrent, content, "--listen", h.Addr.String() + ":0"}, args...)...).Expect("seeding").String("peer")
}

// get fetches with shoal into DIR/out, compares, and returns the done event.
func get(t *testing.T, h *swarmtest.Host, source, content string, args ...string) swarmtest.Event {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	done := h.Run(append([]string{"get", source, "-o", out}, args...)...).Succeed().Expect("done")
	swarmtest.Same(t, content, filepath.Join(out, filepath.Base(content)))
	return done
}

// eventually tries until there is no error.
func eventually(t *testing.T, try func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// timed logs how long something took: what others reach is in the notes of the project.
func timed(t *testing.T, what string, f func()) {
	t.Helper()
	begin := time.Now()
	f()
	t.Logf("%s: %.2f s", what, time.Since(begin).Seconds())
}

func write(t *testing.T, path, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func lines(format string, args ...any) string {
	return strings.TrimLeft(fmt.Sprintf(format, args...), "\n")
}

// escape writes a path as a URL has it.
func escape(path string) string { return (&url.URL{Path: path}).EscapedPath() }
