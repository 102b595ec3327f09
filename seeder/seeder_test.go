package seeder

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"shoal/piece"
	"shoal/swarm"
)

// start runs a node and a seeder that keeps its state in dir, and serves it over HTTP.
func start(t *testing.T, dir string) (*Seeder, string, func()) {
	t.Helper()
	node := swarm.New(swarm.Config{Role: swarm.RoleOrigin})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); node.Run(ctx) }()
	s := New(Config{StateDir: dir, Node: node, Plain: true})
	web := httptest.NewServer(s)
	stop := func() {
		web.Close()
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return s, web.URL, stop
}

func get(t *testing.T, url, accept string) (int, []byte) {
	t.Helper()
	code, b, _ := ask(t, url, accept)
	return code, b
}

// ask is get with the header of the answer. It follows no redirection.
func ask(t *testing.T, url, accept string) (int, []byte, http.Header) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, b, resp.Header
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestContentIsDescribedAndServed(t *testing.T) {
	tree := filepath.Join(t.TempDir(), "my release")
	write(t, filepath.Join(tree, "a", "one.txt"), strings.Repeat("one ", 9999))
	write(t, filepath.Join(tree, "two.txt"), "two")
	s, base, _ := start(t, t.TempDir())
	c, err := s.AddPath(context.Background(), tree)
	if err != nil {
		t.Fatal(err)
	}
	for name, accept := range map[string]string{"/my%20release.torrent": "*/*", "/my%20release": piece.MetainfoType} {
		code, b := get(t, base+name, accept)
		if code != http.StatusOK {
			t.Fatalf("GET %s = %d: %s", name, code, b)
		}
		x, err := piece.Read(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if x.V2 != c.V2 || len(x.Trackers) != 1 || x.Trackers[0][0] != base+"/announce" {
			t.Errorf("GET %s: info hash %x, trackers %v; want %x and the address that was asked", name, x.V2, x.Trackers, c.V2)
		}
	}
	for _, url := range []string{"/my%20release/two.txt", "/content/" + c.Key() + "/my%20release/two.txt"} {
		if code, b := get(t, base+url, ""); code != http.StatusOK || string(b) != "two" {
			t.Errorf("GET %s = %d %q", url, code, b)
		}
	}
	if !s.Allows([20]byte(c.V2[:20])) || s.Allows([20]byte{}) || c.HasV1 && !s.Allows(c.V1) {
		t.Error("the tracker is allowed something else than this content")
	}
	if _, err := s.AddPath(context.Background(), tree); !errors.Is(err, ErrNameTaken) {
		t.Errorf("adding it twice: %v, want ErrNameTaken", err)
	}
}

// Of those who can ask peers the first get the description, and others are referred to these.
func TestOthersAreReferred(t *testing.T) {
	file := filepath.Join(t.TempDir(), "release")
	write(t, file, "")
	if err := os.Truncate(file, 64<<20); err != nil {
		t.Fatal(err)
	}
	s, base, _ := start(t, t.TempDir())
	c, err := s.AddPath(context.Background(), file)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for range 10 {
		for _, accept := range []string{piece.MetainfoType, piece.MetainfoType + ", " + piece.MagnetType} {
			code, b, header := ask(t, base+"/release", accept)
			switch {
			case code == http.StatusFound:
				want := "magnet:?xt=urn:btih:" + c.V1.HexString() + "&xt=urn:btmh:1220" + c.Key()
				if link := header.Get("Location"); accept == piece.MetainfoType || link != want || header.Get("Date") != "" || header.Get("Cache-Control") != "no-store" || len(b) > 0 {
					t.Errorf("accepting %s: %v and %d bytes, want nothing but a redirection to %s", accept, header, len(b), want)
				}
				kinds["referred"]++
			case code != http.StatusOK:
				t.Fatalf("%d: %s", code, b)
			default:
				if _, err := piece.Read(bytes.NewReader(b)); err != nil {
					t.Fatal(err)
				}
				kinds[accept]++
			}
		}
	}
	if kinds["referred"] != 7 || kinds[piece.MetainfoType] != 10 {
		t.Errorf("of 10 who can ask peers 7 are referred to the first, and of 10 who cannot none: %v", kinds)
	}
}

func TestDescriptionIsKeptUntilSomethingChanges(t *testing.T) {
	tree, state := filepath.Join(t.TempDir(), "tree"), t.TempDir()
	file := filepath.Join(tree, "file")
	write(t, file, strings.Repeat("x", 100_000))
	add := func() *Content {
		s, _, stop := start(t, state)
		defer stop()
		c, err := s.AddPath(context.Background(), tree)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := add()
	if again := add(); first.Cached || !again.Cached || again.V2 != first.V2 {
		t.Errorf("cached: %v, then %v; want no, then yes", first.Cached, again.Cached)
	}
	for name, change := range map[string]func() error{
		"a new file": func() error { return os.WriteFile(filepath.Join(tree, "new"), []byte("new"), 0o644) },
		"other bytes": func() error {
			if err := os.WriteFile(file, []byte(strings.Repeat("y", 100_000)), 0o644); err != nil {
				return err
			}
			return os.Chtimes(file, time.Now(), time.Unix(1e9, 0)) // whatever the clock says
		},
		"one file less": func() error { return os.Remove(filepath.Join(tree, "new")) },
	} {
		before := add()
		if err := change(); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		} else if os.IsNotExist(err) {
			continue // map order: nothing was there to remove yet
		}
		if after := add(); after.Cached || after.V2 == before.V2 {
			t.Errorf("%s: cached = %v, same hash = %v; want a new description", name, after.Cached, after.V2 == before.V2)
		}
	}
}

func TestPieceLengthOfAContent(t *testing.T) {
	file, state := filepath.Join(t.TempDir(), "file"), t.TempDir()
	write(t, file, strings.Repeat("x", 1_000_000))
	for _, c := range []struct {
		asked  int64
		pieces int
		cached bool
	}{{0, 16, false}, {16 << 10, 62, false}, {0, 62, true}, {16 << 10, 62, true}, {64 << 10, 16, false}} {
		s, _, stop := start(t, state)
		s.cfg.PieceLength = c.asked
		x, err := s.AddPath(context.Background(), file)
		if err != nil {
			t.Fatal(err)
		}
		if x.Pieces != c.pieces || x.Cached != c.cached {
			t.Errorf("asked for pieces of %d: %d pieces, cached %v; want %d, %v", c.asked, x.Pieces, x.Cached, c.pieces, c.cached)
		}
		stop()
	}
}

func TestChangedContentIsNotServed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file.bin")
	write(t, file, strings.Repeat("good", 50_000))
	s, base, _ := start(t, t.TempDir())
	c, err := s.AddPath(context.Background(), file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, strings.Repeat("evil", 50_000))
	if err := os.Chtimes(file, time.Now(), time.Unix(1e9, 0)); err != nil {
		t.Fatal(err)
	}
	if code, b := get(t, base+"/file.bin", ""); code != http.StatusGone || bytes.Contains(b, []byte("evil")) {
		t.Errorf("GET of a changed file = %d with %d bytes, want 410", code, len(b))
	}
	if c.Gone() == nil {
		t.Error("the content does not say that it is gone")
	}
	if code, _ := get(t, base+"/file.bin.torrent", ""); code != http.StatusGone {
		t.Errorf("GET of its .torrent = %d, want 410", code)
	}
}

// What swarms' clients take over HTTP counts against the budget; a plain download is never turned down.
func TestBudgetOverHTTP(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file.bin"), strings.Repeat("x", 100_000))
	s, base, _ := start(t, t.TempDir())
	s.SetBudget(1.5)
	c, err := s.AddPath(context.Background(), filepath.Join(dir, "file.bin"))
	if err != nil {
		t.Fatal(err)
	}
	byKey, plain := base+"/content/"+c.Key()+"/file.bin", base+"/file.bin"
	given := func() int64 {
		n, _ := c.Ration.Today(time.Now())
		return n
	}
	if code, b := get(t, plain, ""); code != http.StatusOK || len(b) != 100_000 || given() != 0 {
		t.Errorf("a plain download: %d, %d bytes, counted %d; want all of it and nothing counted", code, len(b), given())
	}
	if code, b := get(t, byKey, ""); code != http.StatusOK || len(b) != 100_000 || given() != 100_000 {
		t.Errorf("as a web seed: %d, %d bytes, counted %d; want all of it, and counted", code, len(b), given())
	}
	// There are no peers who could have it: nobody is turned down.
	if code, _ := get(t, byKey, ""); code != http.StatusOK || given() != 200_000 {
		t.Errorf("beyond the budget without peers: %d, counted %d; want 200 and 200000", code, given())
	}
	slowPeer(t, s, c)
	var resp *http.Response
	for begin := time.Now(); resp == nil || resp.StatusCode == http.StatusOK && time.Since(begin) < 20*time.Second; time.Sleep(20 * time.Millisecond) {
		if resp, err = http.Get(byKey); err != nil { // until the peer is noticed
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || resp.Header.Get("ETag") != "" {
		t.Errorf("beyond the budget with peers: %s, %v; want 503 with Retry-After, and nothing of the file", resp.Status, resp.Header)
	}
	if code, _ := get(t, plain, ""); code != http.StatusOK {
		t.Errorf("a plain download beyond the budget = %d, want 200", code)
	}
	s.SetBudget(0)
	if code, _ := get(t, byKey, ""); code != http.StatusOK {
		t.Errorf("without a budget = %d, want 200", code)
	}
}

// slowPeer connects a peer that takes so little at a time that it is still there when the test ends.
func slowPeer(t *testing.T, s *Seeder, c *Content) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { s.cfg.Node.HandleConn(ctx, nc) })
		}
	})
	tor, err := s.Torrent(c)
	if err != nil {
		t.Fatal(err)
	}
	tor.WebSeeds = nil
	peer := swarm.New(swarm.Config{LimitDown: 1000})
	wg.Go(func() { peer.Run(ctx) })
	if _, err := peer.Add(swarm.Spec{Torrent: tor, Dir: t.TempDir(), Peers: []string{ln.Addr().String()}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		ln.Close()
		wg.Wait()
	})
}

// What goes out over HTTP is held by the upload limit, which may change on the way.
func TestHTTPIsHeldByTheUploadLimit(t *testing.T) {
	const size, limit = 3 << 20, 1 << 20
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file.bin"), strings.Repeat("x", size))
	s, base, _ := start(t, t.TempDir())
	if _, err := s.AddPath(context.Background(), filepath.Join(dir, "file.bin")); err != nil {
		t.Fatal(err)
	}
	s.cfg.Node.SetLimits(swarm.Limits{Up: limit, MaxPeers: 80})
	begin := time.Now()
	resp, err := http.Get(base + "/file.bin")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	const first = size / 2
	if _, err := io.CopyN(io.Discard, resp.Body, first); err != nil {
		t.Fatal(err)
	}
	// What lies in buffers was let through already; a twentieth of a second is made up for at the start.
	if took := time.Since(begin).Seconds(); first > 1.05*limit*took+limit/20 {
		t.Errorf("%d bytes at %d a second came in %.2f s", first, limit, took)
	}
	s.cfg.Node.SetLimits(swarm.Limits{MaxPeers: 80})
	if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != size-first {
		t.Errorf("the rest: %d bytes, %v", n, err)
	}
}
