package webfetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"shoal/piece"
)

const pieceLength = 64 << 10

// testFile is a file of a torrent: a pad if its path begins with ".pad".
type testFile struct {
	path    string
	content []byte
}

func random(n int, seed byte) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

func bstring(s string) string { return strconv.Itoa(len(s)) + ":" + s }

// v1Info describes files below name; one file without a path is a single-file torrent.
func v1Info(t testing.TB, name string, files ...testFile) *piece.Info {
	t.Helper()
	var list strings.Builder
	total := 0
	for _, f := range files {
		total += len(f.content)
		attr := ""
		if strings.HasPrefix(f.path, ".pad/") {
			attr = "4:attr1:p"
		}
		fmt.Fprintf(&list, "d%s6:lengthi%de4:pathl", attr, len(f.content))
		for _, p := range strings.Split(f.path, "/") {
			list.WriteString(bstring(p))
		}
		list.WriteString("ee")
	}
	pieces := bstring(strings.Repeat("h", 20*((total+pieceLength-1)/pieceLength)))
	info := "d5:filesl" + list.String() + "e"
	if len(files) == 1 && files[0].path == "" {
		info = fmt.Sprintf("d6:lengthi%de", total)
	}
	in, err := piece.ParseInfo([]byte(info + "4:name" + bstring(name) + "12:piece lengthi65536e6:pieces" + pieces + "e"))
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// v2Info describes one file by BEP 52, where it is a tree of one file in the torrent.
func v2Info(t testing.TB, name string, length int) *piece.Info {
	t.Helper()
	in, err := piece.ParseInfo(fmt.Appendf(nil, "d9:file treed%sd0:d6:lengthi%de11:pieces root32:%see12:meta versioni2e4:name%s12:piece lengthi65536ee",
		bstring(name), length, strings.Repeat("r", 32)+"e", bstring(name)))
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func newSource(t testing.TB, in *piece.Info, url string) *Source {
	t.Helper()
	s, err := New(Config{URL: url, Info: in, Idle: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// fetched collects what a Fetch emits and checks that it comes in order.
func fetched(t testing.TB, s *Source, off, n int64) (got []byte, err error) {
	t.Helper()
	last := off
	err = s.Fetch(t.Context(), off, n, func(at int64, b []byte) error {
		if at < last || at+int64(len(b)) > off+n || len(b) == 0 {
			t.Errorf("emitted [%d, +%d) after %d in a fetch of [%d, +%d)", at, len(b), last, off, n)
		}
		last = at + int64(len(b))
		got = append(got, b...)
		return nil
	})
	return got, err
}

// serveMap serves contents by their escaped path, as http.ServeContent does.
func serveMap(t testing.TB, files map[string][]byte) (base string, requests *atomic.Int64, conns *atomic.Int64) {
	t.Helper()
	requests, conns = new(atomic.Int64), new(atomic.Int64)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		b, ok := files[r.URL.RequestURI()]
		if !ok {
			http.NotFound(w, r)
			return
		}
		http.ServeContent(w, r, "x.bin", time.Time{}, bytes.NewReader(b))
	}))
	s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s.URL, requests, conns
}

func TestFetchSpansFilesAndSkipsGaps(t *testing.T) {
	a, b, c := random(100_000, 1), random(5, 2), random(70_000, 3)
	in := v1Info(t, "tree", testFile{"a", a}, testFile{".pad/31072", make([]byte, 31072)}, testFile{"d/b", b}, testFile{"empty", nil}, testFile{"c", c})
	base, requests, conns := serveMap(t, map[string][]byte{"/tree/a": a, "/tree/d/b": b, "/tree/c": c, "/tree/empty": nil})
	s := newSource(t, in, base+"/")
	all := bytes.Join([][]byte{a, b, c}, nil)
	if got, err := fetched(t, s, 0, in.Space()); err != nil || !bytes.Equal(got, all) {
		t.Fatalf("whole torrent: %d bytes, %v; want %d", len(got), err, len(all))
	}
	if requests.Load() != 3 {
		t.Errorf("%d requests, want one for each file with content", requests.Load())
	}
	space := bytes.Join([][]byte{a, make([]byte, 31072), b, c}, nil)
	for range 200 {
		off := rand.Int64N(in.Space())
		n := rand.Int64N(in.Space() - off + 1)
		var want []byte
		for seg := range in.Segments(off, n) {
			want = append(want, space[seg.Offset:seg.Offset+seg.Length]...)
		}
		if got, err := fetched(t, s, off, n); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("[%d, +%d): %d bytes, %v; want %d", off, n, len(got), err, len(want))
		}
	}
	if conns.Load() != 1 {
		t.Errorf("%d requests used %d connections, want one that is kept", requests.Load(), conns.Load())
	}
	for _, r := range [][2]int64{{-1, 1}, {0, in.Space() + 1}, {in.Space(), 1}, {1, 1<<63 - 1}, {0, -1}} {
		if _, err := fetched(t, s, r[0], r[1]); err == nil {
			t.Errorf("[%d, +%d) was fetched, want an error", r[0], r[1])
		}
	}
}

func TestFetchesRunAtOnceAndStop(t *testing.T) {
	content := random(3_000_000, 1)
	in := v1Info(t, "f", testFile{"", content})
	base, _, conns := serveMap(t, map[string][]byte{"/f": content})
	s := newSource(t, in, base+"/")
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for i := range 10 {
				off := int64(w*10+i) * 37_000
				var got []byte
				err := s.Fetch(t.Context(), off, 37_000, func(_ int64, b []byte) error { got = append(got, b...); return nil })
				if err != nil || !bytes.Equal(got, content[off:off+37_000]) {
					t.Errorf("at %d: %d bytes, %v", off, len(got), err)
				}
			}
		})
	}
	all.Wait()
	if n := conns.Load(); n > 24 { // net/http dials beside waiting for one to be free, so a few more than workers
		t.Errorf("80 requests of 8 workers used %d connections", n)
	}
	stop := errors.New("stop")
	if err := s.Fetch(t.Context(), 0, 3_000_000, func(int64, []byte) error { return stop }); err != stop {
		t.Errorf("Fetch = %v, want the error of emit", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := s.Fetch(ctx, 0, 3_000_000, func(int64, []byte) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Fetch = %v, want canceled", err)
	}
}
