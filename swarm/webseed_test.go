package swarm

import (
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"shoal/internal/webseed"
	"shoal/piece"
	"shoal/swarm/wire"
)

// webServer serves content as an origin does, behind a function that may interfere.
func webServer(t testing.TB, tor *piece.Torrent, path string, meddle func(w http.ResponseWriter, r *http.Request, next http.Handler)) (url string, h *webseed.Handler) {
	t.Helper()
	key := hex.EncodeToString(tor.V1[:])
	if tor.HasV2 {
		key = hex.EncodeToString(tor.V2[:])
	}
	c := webseed.Content{Key: key, Name: tor.Name, Dir: tor.Dir, Path: path}
	for i := range tor.Files {
		if f := &tor.Files[i]; f.Symlink == nil {
			c.Files = append(c.Files, webseed.File{Path: strings.Join(f.Path, "/"), Length: f.Length, Root: f.Root})
		}
	}
	h = new(webseed.Handler)
	if err := h.Add(c); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if meddle == nil || r.URL.Path == "/healthz" {
			h.ServeHTTP(w, r)
			return
		}
		meddle(w, r, h)
	}))
	t.Cleanup(srv.Close)
	return srv.URL + "/content/" + key + "/", h
}

// fetchWeb fetches from web seeds (and peers) into a new directory, and compares.
func fetchWeb(t testing.TB, cfg Config, tor *piece.Torrent, want tree, spec Spec) Stats {
	t.Helper()
	dir := t.TempDir()
	m := newMachine(t, cfg)
	spec.Torrent, spec.Dir = tor, dir
	tr := add(t, m, spec)
	wait(t, tr, 40*time.Second)
	tr.Close()
	want.equal(t, readTree(t, filepath.Join(dir, tor.Name)))
	leftovers(t, dir, tor.Name)
	return tr.Stats()
}

func TestWebSeedAlone(t *testing.T) {
	tiny := tree{}
	for i := range 500 {
		tiny[fmt.Sprintf("d%d/%d", i%10, i)] = random(i*3, byte(i))
	}
	for _, f := range formats {
		for _, c := range []struct {
			name string
			tree tree
			c    piece.BuildConfig
		}{
			{"mixed", mixed(), piece.BuildConfig{}},
			{"large pieces", mixed(), piece.BuildConfig{PieceLength: 1 << 20}},
			{"tiny files", tiny, piece.BuildConfig{PieceLength: 64 << 10}},
			{"one file", tree{"big": random(9<<20, 3)}, piece.BuildConfig{}},
		} {
			t.Run(fmt.Sprintf("%v, %s", f, c.name), func(t *testing.T) {
				c.c.Format = f
				tor, path := makeTree(t, c.tree, c.c)
				url, _ := webServer(t, tor, path, nil)
				s := fetchWeb(t, Config{}, tor, c.tree, Spec{WebSeeds: []string{url}})
				if s.From[Origin] != tor.Length || s.FromWebSeeds != tor.Length || s.Wasted != 0 {
					t.Errorf("%d bytes of content: %+v", tor.Length, s)
				}
			})
		}
	}
	t.Run("padded v1", func(t *testing.T) {
		x := mixed()
		hybrid, path := makeTree(t, x, piece.BuildConfig{PieceLength: 128 << 10, Format: piece.Hybrid})
		tor := &piece.Torrent{Info: onlyV1(t, hybrid.Info)}
		url, _ := webServer(t, tor, path, nil)
		if s := fetchWeb(t, Config{}, tor, x, Spec{WebSeeds: []string{url}}); s.From[Origin] != tor.Length || s.Wasted != 0 {
			t.Errorf("%d bytes of content: %+v", tor.Length, s)
		}
	})
	t.Run("a limit below a block", func(t *testing.T) {
		x := tree{"a": random(200_000, 1)}
		tor, path := makeTree(t, x, piece.BuildConfig{})
		url, _ := webServer(t, tor, path, nil)
		fetchWeb(t, Config{LimitDown: 200_000}, tor, x, Spec{WebSeeds: []string{url}})
	})
	t.Run("in order, without peers", func(t *testing.T) {
		x := mixed()
		tor, path := makeTree(t, x, piece.BuildConfig{})
		url, _ := webServer(t, tor, path, nil)
		fetchWeb(t, Config{Upload: UploadOff}, tor, x, Spec{WebSeeds: []string{url}, InOrder: true, Peers: []string{"127.0.0.1:1"}})
	})
}

// TestWebSeedAsOthersServe has servers that are not ours.
func TestWebSeedAsOthersServe(t *testing.T) {
	x := mixed()
	x["big"] = random(3<<20, 77)
	for _, f := range formats {
		tor, path := makeTree(t, x, piece.BuildConfig{Format: f, PieceLength: 128 << 10})
		files := http.FileServer(http.Dir(filepath.Dir(path)))
		for _, c := range []struct {
			name  string
			serve http.HandlerFunc
		}{
			{"plain", files.ServeHTTP},
			{"without ranges", func(w http.ResponseWriter, r *http.Request) {
				r.Header.Del("Range")
				files.ServeHTTP(noRanges{w}, r)
			}},
			{"connections that break", func(w http.ResponseWriter, r *http.Request) {
				files.ServeHTTP(&breaking{ResponseWriter: w, left: 150_000}, r)
			}},
			{"busy now and then", func() http.HandlerFunc {
				var n atomic.Int64
				return func(w http.ResponseWriter, r *http.Request) {
					if n.Add(1)%20 == 7 {
						w.WriteHeader(http.StatusServiceUnavailable)
						return
					}
					files.ServeHTTP(w, r)
				}
			}()},
		} {
			t.Run(fmt.Sprintf("%v, %s", f, c.name), func(t *testing.T) {
				t.Parallel()
				srv := httptest.NewServer(c.serve)
				defer srv.Close()
				s := fetchWeb(t, Config{}, tor, x, Spec{WebSeeds: []string{srv.URL + "/"}})
				if s.Bad > 0 || s.Bans > 0 {
					t.Errorf("blamed for content that was right: %+v", s)
				}
				if s.Wasted > tor.Length {
					t.Errorf("wasted %d of %d", s.Wasted, tor.Length)
				}
			})
		}
	}
}

// noRanges is a server like Python's.
type noRanges struct{ http.ResponseWriter }

func (w noRanges) WriteHeader(code int) {
	w.Header().Del("Accept-Ranges")
	w.ResponseWriter.WriteHeader(code)
}

// breaking ends the connection after so many bytes.
type breaking struct {
	http.ResponseWriter
	left int
}

func (w *breaking) Write(b []byte) (int, error) {
	if len(b) > w.left {
		w.ResponseWriter.Write(b[:w.left])
		panic(http.ErrAbortHandler)
	}
	w.left -= len(b)
	return w.ResponseWriter.Write(b)
}

// TestWebSeedThatLies serves the right lengths and wrong bytes.
func TestWebSeedThatLies(t *testing.T) {
	x := mixed()
	x["big"] = random(6<<20, 77)
	wrong := tree{}
	for name, content := range x {
		if !strings.HasPrefix(content, "-> ") {
			content = random(len(content), 123)
		}
		wrong[name] = content
	}
	for _, f := range formats {
		t.Run(f.String(), func(t *testing.T) {
			tor, path := makeTree(t, x, piece.BuildConfig{Format: f, PieceLength: 128 << 10})
			bad := filepath.Join(t.TempDir(), "tree")
			wrong.write(t, bad)
			badURL, badServer := webServer(t, tor, bad, nil)
			goodURL, _ := webServer(t, tor, path, nil)
			s := fetchWeb(t, Config{}, tor, x, Spec{WebSeeds: []string{badURL, goodURL}})
			if s.Bans == 0 || s.Bad == 0 {
				t.Errorf("nobody was blamed: %+v", s)
			}
			if n := badServer.Total(); n > tor.Length {
				t.Errorf("the liar was asked for %d bytes", n)
			}
			// With a peer instead, too.
			o := seed(t, Spec{Torrent: tor, Content: path})
			fetchWeb(t, Config{}, tor, x, Spec{WebSeeds: []string{badURL}, Peers: []string{o.addr}})
		})
	}
}

func TestWebSeedWithoutAFile(t *testing.T) {
	x := mixed()
	tor, path := makeTree(t, x, piece.BuildConfig{PieceLength: 64 << 10})
	not := func(part string, status int) func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if strings.Contains(r.URL.Path, part) {
				w.WriteHeader(status)
				return
			}
			next.ServeHTTP(w, r)
		}
	}
	one, _ := webServer(t, tor, path, not("bin/", http.StatusNotFound))
	two, _ := webServer(t, tor, path, not("share/", http.StatusGone))
	none, noneServer := webServer(t, tor, path, not("", http.StatusNotFound))
	s := fetchWeb(t, Config{}, tor, x, Spec{WebSeeds: []string{none, one, two}})
	if s.From[Origin] != tor.Length {
		t.Errorf("%+v", s)
	}
	if n := noneServer.Total(); n > 0 {
		t.Errorf("%d bytes from a server that has nothing", n)
	}

	t.Run("nobody has it", func(t *testing.T) {
		m := newMachine(t, Config{})
		tr := add(t, m, Spec{Torrent: tor, Dir: t.TempDir(), WebSeeds: []string{one}})
		until(t, "an error of the web seed, and all the rest", func() bool {
			s := tr.Stats()
			return tr.WebSeedErr() != nil && s.Wanted > 0 && s.Wanted-s.Have == int64(2*len(x["bin/tool*"]))
		})
		if err := tr.WebSeedErr(); !strings.Contains(err.Error(), "404") {
			t.Errorf("it says %v", err)
		}
	})
}

// TestWebSeedChanges has a file change on the server while it is fetched.
func TestWebSeedChanges(t *testing.T) {
	x := tree{"big": random(6<<20, 1), "other": random(2<<20, 2)}
	tor, path := makeTree(t, x, piece.BuildConfig{PieceLength: 64 << 10})
	var n atomic.Int64
	url, _ := webServer(t, tor, path, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.HasSuffix(r.URL.Path, "/big") && n.Add(1) > 2 {
			http.ServeContent(w, r, "big", time.Now(), strings.NewReader(random(6<<20, 9)))
			return
		}
		next.ServeHTTP(w, r)
	})
	good, _ := webServer(t, tor, path, nil)
	fetchWeb(t, Config{}, tor, x, Spec{WebSeeds: []string{url, good}})
}

// TestWebSeedHangs has one that takes requests and says nothing, from the start or after a while.
func TestWebSeedHangs(t *testing.T) {
	x := tree{"big": random(12<<20, 1)}
	tor, path := makeTree(t, x, piece.BuildConfig{PieceLength: 256 << 10})
	for _, after := range []int{0, 300_000} {
		open := make(chan struct{})
		var once sync.Once
		release := func() { once.Do(func() { close(open) }) }
		hang := func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			next.ServeHTTP(&hanging{ResponseWriter: w, left: after, open: open}, r)
		}
		t.Run(fmt.Sprintf("after %d bytes, another web seed", after), func(t *testing.T) {
			defer release()
			url, _ := webServer(t, tor, path, hang)
			good, _ := webServer(t, tor, path, nil)
			fetchWeb(t, Config{}, tor, x, Spec{WebSeeds: []string{url, good}})
		})
		open, once = make(chan struct{}), sync.Once{}
		t.Run(fmt.Sprintf("after %d bytes, a peer", after), func(t *testing.T) {
			defer release()
			url, _ := webServer(t, tor, path, hang)
			o := newMachine(t, Config{})
			add(t, o, Spec{Torrent: tor, Content: path})
			dir := t.TempDir()
			m := newMachine(t, Config{})
			tr := add(t, m, Spec{Torrent: tor, Dir: dir, WebSeeds: []string{url}})
			until(t, "requests to the web seed", func() bool { return after == 0 || tr.Stats().FromWebSeeds > 0 })
			tr.AddPeers(o.addr)
			wait(t, tr, 30*time.Second)
			x.equal(t, readTree(t, filepath.Join(dir, tor.Name)))
		})
	}
}

type hanging struct {
	http.ResponseWriter
	left int
	open chan struct{}
}

func (w *hanging) Write(b []byte) (int, error) {
	n := min(len(b), w.left)
	w.left -= n
	if n > 0 {
		if m, err := w.ResponseWriter.Write(b[:n]); err != nil {
			return m, err
		}
	}
	if n < len(b) {
		w.ResponseWriter.(http.Flusher).Flush()
		<-w.open
		return n, io.ErrClosedPipe
	}
	return n, nil
}

// TestPeerTakesOver has a peer turn up while a slow web seed is at work.
func TestPeerTakesOver(t *testing.T) {
	x := tree{"big": random(8<<20, 1)}
	tor, path := makeTree(t, x, piece.BuildConfig{PieceLength: 64 << 10})
	url, _ := webServer(t, tor, path, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(&slow{ResponseWriter: w, r: r}, r)
	})
	o := newMachine(t, Config{})
	add(t, o, Spec{Torrent: tor, Content: path})
	dir := t.TempDir()
	m := newMachine(t, Config{})
	tr := add(t, m, Spec{Torrent: tor, Dir: dir, WebSeeds: []string{url}})
	until(t, "the web seed", func() bool { return tr.Stats().FromWebSeeds > 200_000 })
	tr.AddPeers(o.addr)
	wait(t, tr, 30*time.Second)
	x.equal(t, readTree(t, filepath.Join(dir, tor.Name)))
	if s := tr.Stats(); s.From[Peers] < tor.Length/2 || s.Wasted > 1<<20 {
		t.Errorf("the peer gave %d of %d bytes, %d wasted", s.From[Peers], tor.Length, s.Wasted)
	}
}

type slow struct {
	http.ResponseWriter
	r *http.Request
}

func (w *slow) Write(b []byte) (n int, err error) {
	for len(b) > 0 && err == nil {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-w.r.Context().Done():
			return n, w.r.Context().Err()
		}
		var m int
		m, err = w.ResponseWriter.Write(b[:min(len(b), 8<<10)])
		w.ResponseWriter.(http.Flusher).Flush()
		n += m
		b = b[m:]
	}
	return n, err
}

// TestWebSeedHelpsASlowSwarm has one peer that gives next to nothing.
func TestWebSeedHelpsASlowSwarm(t *testing.T) {
	x := tree{"big": random(4<<20, 1)}
	tor, path := makeTree(t, x, piece.BuildConfig{PieceLength: 64 << 10})
	url, _ := webServer(t, tor, path, nil)
	o := newMachine(t, Config{LimitUp: 20 << 10})
	add(t, o, Spec{Torrent: tor, Content: path})
	s := fetchWeb(t, Config{}, tor, x, Spec{WebSeeds: []string{url}, Peers: []string{o.addr}})
	if s.FromWebSeeds < tor.Length/2 {
		t.Errorf("the web seed gave %d of %d bytes", s.FromWebSeeds, tor.Length)
	}
}

func TestWebSeedResumes(t *testing.T) {
	x := mixed()
	x["big"] = random(8<<20, 5)
	tor, path := makeTree(t, x, piece.BuildConfig{PieceLength: 64 << 10})
	url, _ := webServer(t, tor, path, nil)
	dir := t.TempDir()
	var rounds, got int64
	for done := false; !done; rounds++ {
		m := newMachine(t, Config{LimitDown: 16 << 20})
		tr := add(t, m, Spec{Torrent: tor, Dir: dir, WebSeeds: []string{url}})
		goal := tr.Stats().Have + 2<<20
		until(t, "progress", func() bool {
			select {
			case <-tr.Done():
				done = true
			default:
			}
			return done || fetched(tr.Stats()) > goal
		})
		if err := tr.Err(); err != nil {
			t.Fatal(err)
		}
		m.stop()
		got += fetched(tr.Stats())
	}
	x.equal(t, readTree(t, filepath.Join(dir, tor.Name)))
	t.Logf("%d rounds, %d bytes fetched of %d", rounds, got, tor.Length)
	if got > tor.Length+rounds*webWorkers*(64<<10+wire.MaxBlock) { // each worker is at one piece
		t.Errorf("fetched %d bytes of %d in %d rounds", got, tor.Length, rounds)
	}
}

// TestWebSeedRefusesAndReturns has a server that is not there at first.
func TestWebSeedRefusesAndReturns(t *testing.T) {
	x := tree{"a": random(100_000, 1)}
	tor, path := makeTree(t, x, piece.BuildConfig{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	m := newMachine(t, Config{})
	dir := t.TempDir()
	tr := add(t, m, Spec{Torrent: tor, Dir: dir, WebSeeds: []string{"http://" + addr + "/"}})
	until(t, "a refusal", func() bool { return tr.WebSeedErr() != nil })
	ln, err = net.Listen("tcp", addr)
	if err != nil {
		t.Skip("the port was taken meanwhile")
	}
	srv := &http.Server{Handler: http.FileServer(http.Dir(filepath.Dir(path)))}
	var wg sync.WaitGroup
	wg.Go(func() { srv.Serve(ln) })
	defer wg.Wait()
	defer srv.Close()
	wait(t, tr, 20*time.Second)
	x.equal(t, readTree(t, filepath.Join(dir, tor.Name)))
}

// TestSpareSeeds has a web seed die half way: its spares are asked then, the best of those that live, and none before.
func TestSpareSeeds(t *testing.T) {
	x := tree{"a": random(4<<20, 1)}
	tor, path := makeTree(t, x, piece.BuildConfig{PieceLength: 64 << 10})
	var given, early atomic.Int64
	var dead atomic.Bool
	first, _ := webServer(t, tor, path, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		defer dead.Store(true)
		if given.Add(1) > 1 {
			panic(http.ErrAbortHandler)
		}
		next.ServeHTTP(&breaking{w, 200_000}, r)
	})
	spare := func() (string, *atomic.Int64) {
		var asked atomic.Int64
		url, _ := webServer(t, tor, path, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if asked.Add(1); !dead.Load() {
				early.Add(1)
			}
			next.ServeHTTP(w, r)
		})
		return url, &asked
	}
	second, _ := spare()
	third, lastAsked := spare()
	s := fetchWeb(t, Config{}, tor, x, Spec{WebSeeds: []string{first}, SpareSeeds: []string{"http://127.0.0.1:1/", second, third}})
	if early.Load() > 0 || lastAsked.Load() > 0 || s.FromWebSeeds < tor.Length {
		t.Errorf("spares were asked %d times while the first web seed lived, and the last of them %d times; want neither. %+v", early.Load(), lastAsked.Load(), s)
	}
}

// TestSparesAreLetGo has a web seed fail for a moment: its spare, which says that it is an edge, brings what it had begun by then, and the rest comes from the
// first one again.
func TestSparesAreLetGo(t *testing.T) {
	x := tree{"a": random(8<<20, 1)}
	tor, path := makeTree(t, x, piece.BuildConfig{PieceLength: 64 << 10})
	var asked atomic.Bool
	first, _ := webServer(t, tor, path, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if !asked.Load() {
			panic(http.ErrAbortHandler)
		}
		next.ServeHTTP(w, r)
	})
	spare, h := webServer(t, tor, path, nil)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			io.WriteString(w, `{"shoal":{"role":"edge"}}`)
			return
		}
		asked.Store(true)
		h.ServeHTTP(w, r)
	}))
	defer srv.Close()
	u, err := url.Parse(spare)
	if err != nil {
		t.Fatal(err)
	}
	s := fetchWeb(t, Config{LimitDown: 6 << 20}, tor, x, Spec{WebSeeds: []string{first}, SpareSeeds: []string{srv.URL + u.Path}})
	if n := s.From[Edges]; n == 0 || n > tor.Length*2/5 {
		t.Errorf("%d bytes of %d came from the spare, want some, and little more than what it had begun", n, tor.Length)
	}
}

// The web server of an origin that is being dialled waits for the handshakes; that of one that cannot be dialled, and any other, does not.
func TestOtherDoorOfAPeer(t *testing.T) {
	const host = "198.18.0.1:7070"
	for _, c := range []struct {
		what  string
		entry entry
		conns []*conn
		want  bool
	}{
		{"it is being dialled", entry{dialing: true}, nil, true},
		{"it has not shaken hands", entry{conn: true}, []*conn{{pin: host}}, true},
		{"it has", entry{conn: true}, []*conn{{pin: host, introduced: true}}, false},
		{"it has not said what it is", entry{conn: true}, []*conn{{pin: host, introduced: true, ext: true}}, true},
		{"it has", entry{conn: true}, []*conn{{pin: host, introduced: true, ext: true, met: true}}, false},
		{"others have", entry{dialing: true}, []*conn{{introduced: true}}, true},
		{"it could not be dialled", entry{fails: 1}, nil, false},
	} {
		s := &session{book: newBook(), conns: c.conns}
		s.book.pinned[host] = &c.entry
		if got := s.otherDoor(&webSeed{host: host}); got != c.want {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
		if s.otherDoor(&webSeed{host: "198.18.0.2:7070"}) {
			t.Errorf("%s: and another server waits for it", c.what)
		}
	}
}
