package edgecache

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"shoal/internal/deliver"
	"shoal/internal/disk"
	"shoal/internal/schedule"
	"shoal/internal/swarmtest"
	"shoal/internal/webseed"
	"shoal/piece"
	"shoal/swarm"
)

// origin is a plain web server that has single contents, and counts what it sends of them.
type origin struct {
	urls     []*url.URL
	keys     []string
	files    []string
	sent     atomic.Int64 // bytes
	requests atomic.Int64 // for content
	down     atomic.Bool  // it answers nobody
}

func newOrigin(t testing.TB, sizes ...int) *origin {
	t.Helper()
	o := new(origin)
	mux := http.NewServeMux()
	contents := new(webseed.Handler)
	mux.HandleFunc("/content/", func(w http.ResponseWriter, r *http.Request) {
		o.requests.Add(1)
		out := &counted{ResponseWriter: w}
		defer func() { o.sent.Add(out.n) }()
		contents.ServeHTTP(out, r)
	})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if o.down.Load() {
			panic(http.ErrAbortHandler)
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	for i, size := range sizes {
		name := fmt.Sprintf("content-%d", i)
		file := swarmtest.File(t, filepath.Join(t.TempDir(), name), size)
		tor, _, err := piece.Build(t.Context(), file, piece.BuildConfig{PieceLength: 64 << 10})
		if err != nil {
			t.Fatal(err)
		}
		key := tor.Info.Key()
		tor.WebSeeds = []string{srv.URL + "/content/" + key + "/"}
		var text bytes.Buffer
		if err := tor.Write(&text); err != nil {
			t.Fatal(err)
		}
		mux.HandleFunc("/"+name+".torrent", func(w http.ResponseWriter, _ *http.Request) { w.Write(text.Bytes()) })
		c, _ := deliver.WebSeed(tor.Info, key, file)
		if err := contents.Add(c); err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(srv.URL + "/" + name + ".torrent")
		if err != nil {
			t.Fatal(err)
		}
		o.urls, o.keys, o.files = append(o.urls, u), append(o.keys, key), append(o.files, file)
	}
	return o
}

// clock is one that a test sets.
type clock struct{ at atomic.Int64 }

func newClock(at time.Time) *clock {
	c := new(clock)
	c.set(at)
	return c
}

func (c *clock) now() time.Time   { return time.Unix(0, c.at.Load()).UTC() }
func (c *clock) set(at time.Time) { c.at.Store(at.UnixNano()) }

// runEdge runs an edge of an origin's contents, and waits until it knows them; stop ends it.
func runEdge(t testing.TB, o *origin, cfg Config) (e *Edge, stop func()) {
	t.Helper()
	e, stop = startEdge(t, o, cfg)
	hasBegun(t, e)
	return e, stop
}

// hasBegun waits until an edge knows what there is, and has looked what there is to do.
func hasBegun(t testing.TB, e *Edge) {
	t.Helper()
	until(t, "the edge has begun", func() bool { _, sure := e.offered(); return sure && e.begun.Load() })
}

func startEdge(t testing.TB, o *origin, cfg Config) (e *Edge, stop func()) {
	t.Helper()
	cfg.Origins, cfg.Node = o.urls, swarm.New(swarm.Config{Role: swarm.RoleEdge})
	if cfg.Quota == 0 {
		cfg.Quota = 1 << 30
	}
	if cfg.StateDir == "" {
		cfg.StateDir = t.TempDir()
	}
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { cfg.Node.Run(ctx) })
	wg.Go(func() {
		if err := e.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(stop)
	return e, stop
}

func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for begin := time.Now(); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begin) > time.Minute {
			t.Fatalf("not in a minute: %s", what)
		}
	}
}

// request is one for content i.
func (o *origin) request(i int) *http.Request {
	return httptest.NewRequest(http.MethodGet, "/content/"+o.keys[i]+"/"+filepath.Base(o.files[i]), nil)
}

// ask asks an edge for content i.
func (o *origin) ask(t *testing.T, e *Edge, i int) {
	t.Helper()
	want, err := os.ReadFile(o.files[i])
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	e.ServeHTTP(w, o.request(i))
	if w.Code != http.StatusOK || !bytes.Equal(w.Body.Bytes(), want) {
		t.Errorf("content %d: status %d, %d bytes; want the %d of the file", i, w.Code, w.Body.Len(), len(want))
	}
}

// settled does what an edge would do now, twice: what the first round has begun to change is seen by the second.
func settled(t *testing.T, e *Edge) {
	t.Helper()
	for range 2 {
		e.step(t.Context(), e.cfg.Now())
	}
}

// Outside the windows not a byte is fetched ahead, also of what was begun within one; what is asked for comes at any time.
func TestFillKeepsToItsWindow(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	o := newOrigin(t, size, size)
	rates, err := schedule.ParseRates("02:00-04:00=1M")
	if err != nil {
		t.Fatal(err)
	}
	night := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	clock := newClock(night.Add(time.Hour))
	e, _ := runEdge(t, o, Config{Fill: &rates, Now: clock.now})
	at := func(d time.Duration) { clock.set(night.Add(d)); e.nudge() }
	idle := func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return len(e.contents) == 0
	}
	settled(t, e)
	if n := o.requests.Load(); n > 0 {
		t.Fatalf("%d requests before the window", n)
	}
	at(2*time.Hour + time.Second)
	until(t, "it has begun within the window", func() bool { return o.sent.Load() > 0 })
	at(4 * time.Hour)
	until(t, "it stops when the window closes", idle)
	asked := o.requests.Load()
	settled(t, e)
	time.Sleep(300 * time.Millisecond) // for a fetch that should not be there
	if n := o.requests.Load(); n != asked || !idle() {
		t.Errorf("%d requests more after the window", n-asked)
	}
	o.ask(t, e, 1)
	if st := e.Status(); st.Kept > 1 {
		t.Errorf("%d contents are here, and only one was asked for", st.Kept)
	}
	at(26*time.Hour + time.Second)
	until(t, "all is here after the next window", func() bool { return e.Status().Kept == 2 })
}

// A thousand ask at once for what is not here: it is one fetch.
func TestThousandRequestsAreOneFetch(t *testing.T) {
	t.Parallel()
	const size, part = 600_000, 500
	o := newOrigin(t, size)
	never, err := schedule.ParseRates("Mon 00:00-00:01=1")
	if err != nil {
		t.Fatal(err)
	}
	e, _ := runEdge(t, o, Config{Fill: &never, Now: newClock(noon).now})
	want, err := os.ReadFile(o.files[0])
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 1000 {
		all.Go(func() {
			w, r := httptest.NewRecorder(), o.request(0)
			r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", i*part, (i+1)*part-1))
			if e.ServeHTTP(w, r); w.Code != http.StatusPartialContent || !bytes.Equal(w.Body.Bytes(), want[i*part:(i+1)*part]) {
				t.Errorf("part %d: status %d, %d bytes", i, w.Code, w.Body.Len())
			}
		})
	}
	all.Wait()
	until(t, "it is whole", func() bool { return e.Status().Kept == 1 })
	if st := e.Status(); st.Requests.All != 1000 || st.Fetched.Contents != 1 || st.Fetched.FromOrigin != size {
		t.Errorf("%+v, %+v: want 1000 requests and one fetch of %d bytes", st.Requests, st.Fetched, size)
	}
	if n := o.requests.Load(); n > 100 {
		t.Errorf("the origin was asked %d times", n)
	}
}

// The clock is set two years ahead, and then back, by whoever: nothing goes, nothing is fetched again, all is served.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, 200_000, 300_000)
	clock := newClock(noon)
	cfg := Config{Now: clock.now, StateDir: t.TempDir()}
	e, stop := runEdge(t, o, cfg)
	until(t, "all is here", func() bool { return e.Status().Kept == 2 })
	sent := o.sent.Load()
	for _, years := range []int{2, -2} {
		clock.set(noon.AddDate(years, 0, 0))
		settled(t, e)
		o.ask(t, e, 0)
		if years < 0 { // and it is started with that clock
			stop()
			e, _ = runEdge(t, o, cfg)
		}
		o.ask(t, e, 1)
		settled(t, e)
		if st := e.Status(); st.Kept != 2 || len(st.Dropped) > 0 || o.sent.Load() != sent {
			t.Errorf("%d years away: %d contents are kept, %v were dropped, %d bytes fetched again", years, st.Kept, st.Dropped, o.sent.Load()-sent)
		}
	}
	clock.set(noon)
	settled(t, e)
	if st := e.Status(); st.Kept != 2 {
		t.Errorf("with the right clock again %d contents are kept", st.Kept)
	}
}

// A file has other bytes, and looks as it did: it is found by reading, and those bytes alone are fetched again.
func TestScrubFindsWhatTheDiskHasLost(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, 1<<20, 100_000)
	clock := newClock(noon)
	cfg := Config{Now: clock.now, StateDir: t.TempDir()}
	e, stop := runEdge(t, o, cfg)
	until(t, "all is here", func() bool { return e.Status().Kept == 2 })
	stop()
	sent := o.sent.Load()

	path := filepath.Join(e.shelf.contentDir(o.keys[0]), filepath.Base(o.files[0]))
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt([]byte("rot"), 300_000)
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	// No test can have a file change behind its file system's back: its record is made to say that it has always looked so.
	rec, err := readRecord(e.shelf.recordPath(o.keys[0]))
	if err != nil {
		t.Fatal(err)
	}
	fi, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	rec.Stamps = []disk.Stamp{disk.StampOfInfo(fi)}
	text, err := json.Marshal(rec)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(e.shelf.recordPath(o.keys[0]), text, 0o644); err != nil {
		t.Fatal(err)
	}

	clock.set(noon.Add(defaultScrub/2 - time.Hour))
	e, stop = runEdge(t, o, cfg)
	if st := e.Status(); st.Kept != 2 || st.Fetched.Scrubbed > 0 {
		t.Fatalf("%d contents are kept, %d bytes were read: want nothing to be due", st.Kept, st.Fetched.Scrubbed)
	}
	stop()
	clock.set(noon.Add(defaultScrub/2 + time.Hour))
	e, stop = runEdge(t, o, cfg)
	until(t, "it is found, and right again", func() bool {
		st := e.Status()
		return st.Fetched.Rotten == 1 && st.Fetched.Contents == 1 && st.Kept == 2
	})
	until(t, "the other one was read", func() bool { return e.Status().Fetched.Scrubbed == 100_000 })
	o.ask(t, e, 0)
	if more := o.sent.Load() - sent; more == 0 || more > 3*64<<10 {
		t.Errorf("%d bytes were fetched again, want one piece of %d", more, 64<<10)
	}
	stop()
	for i, key := range o.keys { // it is remembered, and not done again after each start
		if rec, err := readRecord(e.shelf.recordPath(key)); err != nil || later(rec.At, rec.Read).Before(clock.now()) {
			t.Errorf("content %d: its record says %+v, %v; want it to be read at %v", i, rec, err, clock.now())
		}
	}
}

// The upload limit holds for the gateway, and a change of it at once: that is how limits by the time of day work.
func TestGatewayKeepsToTheUploadLimit(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	o := newOrigin(t, size)
	e, _ := runEdge(t, o, Config{})
	until(t, "it is here", func() bool { return e.Status().Kept == 1 })
	srv := httptest.NewServer(e)
	defer srv.Close()
	limits := e.cfg.Node.Limits()
	limits.Up = 100_000
	e.cfg.Node.SetLimits(limits)
	resp, err := http.Get(srv.URL + "/content/" + o.keys[0] + "/" + filepath.Base(o.files[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	begin := time.Now()
	buf := make([]byte, 64<<10)
	for n := 0; n < 100_000; { // of which some was allowed before
		m, err := resp.Body.Read(buf)
		if n += m; err != nil {
			t.Fatal(err)
		}
	}
	if d := time.Since(begin); d < 250*time.Millisecond {
		t.Errorf("100000 bytes came in %v, and the limit is as many in a second", d)
	}
	limits.Up = 0
	e.cfg.Node.SetLimits(limits)
	if _, err := io.Copy(io.Discard, resp.Body); err != nil { // nine seconds if the old limit held
		t.Fatal(err)
	}
}

// The last edge of a cluster is not told that others have what it keeps.
func TestLastEdgeDoesNotDrain(t *testing.T) {
	t.Parallel()
	e, _ := runEdge(t, newOrigin(t, 1000), Config{Cluster: Cluster{Name: "edge", Gossip: "127.0.0.1:0", Key: "a key of a test"}})
	if err := e.Drain(); err == nil || e.Status().Ring.Draining {
		t.Errorf("an edge without others drains: %v", err)
	}
}
