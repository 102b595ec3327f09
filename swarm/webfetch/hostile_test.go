package webfetch

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// answer is a handler that says exactly what it is told.
type answer struct {
	status int
	header map[string]string
	body   string
}

func (a answer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for k, v := range a.header {
		w.Header().Set(k, v)
	}
	w.WriteHeader(a.status)
	io.WriteString(w, a.body)
}

func TestAnswersAreJudged(t *testing.T) {
	content := random(200_000, 1)
	in := v1Info(t, "f", testFile{"", content})
	const off, n = 100_000, 1000
	good := string(content[off : off+n])
	is := func(target error) func(error) bool { return func(err error) bool { return errors.Is(err, target) } }
	gone := func(err error) bool {
		var e *Gone
		return errors.As(err, &e) && e.File == 0 && strings.Contains(e.URL, "/f")
	}
	busy := func(d time.Duration) func(error) bool {
		return func(err error) bool { var e *Busy; return errors.As(err, &e) && e.RetryAfter == d }
	}
	temporary := func(err error) bool {
		return err != nil && !gone(err) && !errors.Is(err, ErrChanged) && !errors.Is(err, ErrNoRange) && !errors.As(err, new(*Busy))
	}
	h := func(kv ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i]] = kv[i+1]
		}
		return m
	}
	for _, c := range []struct {
		name string
		answer
		ok func(error) bool // nil: no error
	}{
		{"right range", answer{206, h("Content-Range", "bytes 100000-100999/200000"), good}, nil},
		{"right range, total not told", answer{206, h("Content-Range", "bytes 100000-100999/*"), good}, nil},
		{"identity is no encoding", answer{206, h("Content-Range", "bytes 100000-100999/200000", "Content-Encoding", "identity"), good}, nil},
		{"other range", answer{206, h("Content-Range", "bytes 0-999/200000"), good}, temporary},
		{"shorter range", answer{206, h("Content-Range", "bytes 100000-100998/200000"), good[1:]}, temporary},
		{"no Content-Range", answer{206, nil, good}, temporary},
		{"nonsense", answer{206, h("Content-Range", "bytes x-y/z"), good}, temporary},
		{"several ranges", answer{206, h("Content-Type", "multipart/byteranges; boundary=x"), "--x"}, temporary},
		{"other length of the file", answer{206, h("Content-Range", "bytes 100000-100999/200001"), good}, is(ErrChanged)},
		{"body shorter than the range", answer{206, h("Content-Range", "bytes 100000-100999/200000", "Content-Length", "999"), good[1:]}, temporary},
		{"compressed", answer{206, h("Content-Range", "bytes 100000-100999/200000", "Content-Encoding", "gzip"), good}, temporary},
		{"whole file, too deep", answer{200, nil, string(content)}, is(ErrNoRange)},
		{"whole file of another length", answer{200, h("Content-Length", "10"), "0123456789"}, is(ErrChanged)},
		{"empty page", answer{200, h("Content-Length", "0"), ""}, is(ErrChanged)},
		{"range not satisfiable", answer{416, nil, ""}, is(ErrChanged)},
		{"not found", answer{404, nil, "no"}, gone},
		{"forbidden", answer{403, nil, "no"}, gone},
		{"gone", answer{410, nil, "no"}, gone},
		{"legal", answer{451, nil, "no"}, gone},
		{"busy", answer{503, h("Retry-After", "7"), ""}, busy(7 * time.Second)},
		{"busy, no word when", answer{503, nil, ""}, busy(0)},
		{"too many", answer{429, h("Retry-After", "99999999999"), ""}, busy(time.Hour)},
		{"too many, long ago", answer{429, h("Retry-After", "Mon, 02 Jan 2006 15:04:05 GMT"), ""}, busy(0)},
		{"server error", answer{500, nil, ""}, temporary},
		{"not modified", answer{304, nil, ""}, temporary},
		{"no content", answer{204, nil, ""}, temporary},
		{"redirect without a place", answer{302, nil, ""}, temporary},
		{"redirect to a file", answer{302, h("Location", "file:///etc/passwd"), ""}, temporary},
		{"redirect to itself", answer{302, h("Location", "/f"), ""}, temporary},
		{"headers without end", answer{206, h("X-Long", strings.Repeat("x", 200<<10)), good}, temporary},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := httptest.NewServer(c.answer)
			defer srv.Close()
			s := newSource(t, in, srv.URL+"/")
			got, err := fetched(t, s, off, n)
			if c.ok == nil {
				if err != nil || string(got) != good {
					t.Errorf("%d bytes, %v; want the range", len(got), err)
				}
				return
			}
			if !c.ok(err) {
				t.Errorf("err = %v (%T)", err, err)
			}
			if len(got) != 0 && c.name != "body shorter than the range" {
				t.Errorf("%d bytes of a refused answer were emitted", len(got))
			}
		})
	}
}

func TestWholeFileIsUsedNearItsBeginning(t *testing.T) {
	content := random(200_000, 1)
	in := v1Info(t, "f", testFile{"", content})
	for _, chunked := range []bool{false, true} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !chunked {
				w.Header().Set("Content-Length", "200000")
			}
			w.Write(content)
		}))
		defer srv.Close()
		s := newSource(t, in, srv.URL+"/")
		for _, r := range [][2]int64{{0, 200_000}, {0, 10}, {65_000, 100_000}, {65_536, 1}} {
			if got, err := fetched(t, s, r[0], r[1]); err != nil || !bytes.Equal(got, content[r[0]:r[0]+r[1]]) {
				t.Errorf("chunked %v, [%d, +%d): %d bytes, %v", chunked, r[0], r[1], len(got), err)
			}
		}
		if _, err := fetched(t, s, 65_537, 10); !errors.Is(err, ErrNoRange) {
			t.Errorf("chunked %v, beyond what may be thrown away: %v, want ErrNoRange", chunked, err)
		}
	}
}

// The body of a 206 never ends: what was asked for is taken and the connection closed.
func TestEndlessBodyIsCut(t *testing.T) {
	content := random(200_000, 1)
	in := v1Info(t, "f", testFile{"", content})
	ended := make(chan int64, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Range", "bytes 0-199999/200000")
		w.WriteHeader(206) // no length: chunked
		sent, err := int64(0), error(nil)
		for n := 0; err == nil && sent < 1<<30; sent += int64(n) {
			n, err = w.Write(content)
		}
		ended <- sent
	}))
	defer srv.Close()
	got, err := fetched(t, newSource(t, in, srv.URL+"/"), 0, 200_000)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v; want the range", len(got), err)
	}
	if n := <-ended; n >= 1<<30 {
		t.Errorf("the server could send %d bytes", n)
	}
}

// A server that is silent, before its header or in the middle of a body, or sends less than it said.
func TestSilenceAndShortBodies(t *testing.T) {
	content := random(200_000, 1)
	in := v1Info(t, "f", testFile{"", content})
	for _, c := range []struct {
		name   string
		answer func(w io.Writer, hold func())
		got    int
		want   error
	}{
		{"silent from the start", func(_ io.Writer, hold func()) { hold() }, 0, ErrIdle},
		{"silent in the header", func(w io.Writer, hold func()) { io.WriteString(w, "HTTP/1.1 206 Partial"); hold() }, 0, ErrIdle},
		{"silent in the body", func(w io.Writer, hold func()) {
			io.WriteString(w, "HTTP/1.1 206 P\r\nContent-Range: bytes 0-199999/200000\r\n\r\n")
			w.Write(content[:100])
			hold()
		}, 100, ErrIdle},
		{"closed in the body", func(w io.Writer, _ func()) {
			io.WriteString(w, "HTTP/1.1 206 P\r\nContent-Length: 200000\r\nContent-Range: bytes 0-199999/200000\r\n\r\n")
			w.Write(content[:100])
		}, 100, io.ErrUnexpectedEOF},
		{"closed in an unmeasured body", func(w io.Writer, _ func()) {
			io.WriteString(w, "HTTP/1.1 206 P\r\nContent-Range: bytes 0-199999/200000\r\n\r\n")
			w.Write(content[:100])
		}, 100, io.ErrUnexpectedEOF},
		{"garbage", func(w io.Writer, _ func()) { w.Write(random(5000, 9)) }, 0, nil},
		{"two Content-Ranges", func(w io.Writer, _ func()) {
			io.WriteString(w, "HTTP/1.1 206 P\r\nContent-Length: 200000\r\nContent-Range: bytes 0-199999/200000\r\nContent-Range: bytes 1-2/3\r\n\r\n")
			w.Write(content)
		}, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			release := make(chan struct{})
			var server sync.WaitGroup
			defer server.Wait()
			defer l.Close()
			defer close(release)
			server.Go(func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					server.Go(func() {
						defer conn.Close()
						conn.Read(make([]byte, 4096))
						c.answer(conn, func() { <-release })
					})
				}
			})
			s, err := New(Config{URL: "http://" + l.Addr().String() + "/", Info: in, Idle: 200 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			got, err := fetched(t, s, 0, 200_000)
			if err == nil || c.want != nil && !errors.Is(err, c.want) || len(got) != c.got || !bytes.Equal(got, content[:c.got]) {
				t.Errorf("%d bytes, %v; want %d and %v", len(got), err, c.got, c.want)
			}
		})
	}
}

// One byte now and then is not silence; and the time that emit takes is not the server's.
func TestSlowIsNotSilent(t *testing.T) {
	content := random(8, 1)
	in := v1Info(t, "f", testFile{"", content})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Range", "bytes 0-7/8")
		w.WriteHeader(206)
		for i := range content {
			w.Write(content[i : i+1])
			w.(http.Flusher).Flush()
			time.Sleep(60 * time.Millisecond)
		}
	}))
	defer srv.Close()
	s, err := New(Config{URL: srv.URL + "/", Info: in, Idle: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var got []byte
	err = s.Fetch(t.Context(), 0, 8, func(_ int64, b []byte) error {
		if got = append(got, b...); len(got) == 1 {
			time.Sleep(400 * time.Millisecond)
		}
		return nil
	})
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("%x, %v; want %x", got, err, content)
	}
}

// The file changes between two ranges.
func TestChangedFileIsNoticed(t *testing.T) {
	content := random(200_000, 1)
	in := v1Info(t, "f", testFile{"", content})
	for _, c := range []struct {
		name, before, after string
		obeyIfRange         bool
		changed             bool
	}{
		{"ETag, If-Range obeyed", `ETag "a"`, `ETag "b"`, true, true},
		{"ETag, If-Range ignored", `ETag "a"`, `ETag "b"`, false, true},
		{"weak ETag", `ETag W/"a"`, `ETag W/"b"`, false, true},
		{"the same tag, called weak", `ETag "a"`, `ETag W/"a"`, false, false},
		{"Last-Modified", "Last-Modified Mon, 02 Jan 2006 15:04:05 GMT", "Last-Modified Mon, 02 Jan 2006 15:04:06 GMT", false, true},
		{"tag disappears", `ETag "a"`, "X-Nothing x", false, false},
		{"nothing told", "X-Nothing x", "X-Nothing y", false, false},
		{"unchanged", `ETag "a"`, `ETag "a"`, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var state atomic.Pointer[string]
			state.Store(&c.before)
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				k, v, _ := strings.Cut(*state.Load(), " ")
				w.Header().Set(k, v)
				if !c.obeyIfRange {
					r.Header.Del("If-Range")
				}
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
			}))
			defer srv.Close()
			s := newSource(t, in, srv.URL+"/")
			if _, err := fetched(t, s, 0, 1000); err != nil {
				t.Fatal(err)
			}
			state.Store(&c.after)
			got, err := fetched(t, s, 100_000, 1000)
			if c.changed != errors.Is(err, ErrChanged) || c.changed && len(got) > 0 || !c.changed && err != nil {
				t.Errorf("%d bytes, %v; want changed %v", len(got), err, c.changed)
			}
			if got, err := fetched(t, s, 100_000, 1000); err != nil || len(got) != 1000 {
				t.Errorf("the next try begins afresh: %d bytes, %v", len(got), err)
			}
		})
	}
}

func FuzzParseContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-0/1", "bytes 5-9/*", "BYTES 1-2/3", "bytes */10", "bytes 9-5/10", "bytes 0-10/10", "bytes +1-2/3", "bytes 99999999999999999999-1/2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		first, last, total, err := parseContentRange(s)
		if err != nil {
			if first != 0 || last != 0 || total != 0 {
				t.Fatalf("%q: %v and numbers", s, err)
			}
			return
		}
		if first < 0 || last < first || total != -1 && total <= last {
			t.Fatalf("%q: %d-%d/%d", s, first, last, total)
		}
		of := "*"
		if total >= 0 {
			of = strconv.FormatInt(total, 10)
		}
		again := fmt.Sprintf("bytes %d-%d/%s", first, last, of)
		if a, b, c, err := parseContentRange(again); err != nil || a != first || b != last || c != total {
			t.Fatalf("%q became %q and then %d-%d/%d, %v", s, again, a, b, c, err)
		}
	})
}
