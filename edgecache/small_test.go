package edgecache

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shoal/internal/deliver"
)

// What is asked for again is answered from memory, with the same head and bytes, and not any more when it has gone.
func TestSmallFilesAreAnsweredFromMemory(t *testing.T) {
	const size = 40_000
	o := newOrigin(t, size)
	clock := newClock(noon)
	e, _ := runEdge(t, o, Config{Now: clock.now})
	until(t, "it is here", func() bool { return e.Status().Kept == 1 })
	srv := httptest.NewServer(e)
	defer srv.Close()
	path := "/content/" + o.keys[0] + "/" + filepath.Base(o.files[0])
	want, err := os.ReadFile(o.files[0])
	if err != nil {
		t.Fatal(err)
	}
	ask := func(header ...string) []byte {
		return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: x\r\nUser-Agent: curl/8\r\nAccept: */*\r\n%s\r\n", path, strings.Join(header, ""))
	}
	quick := func(in []byte) ([]byte, bool) {
		answer, used, keep := e.Quick(nil, in, netip.MustParseAddrPort("127.0.0.1:9"), netip.AddrPort{})
		if used > 0 && (used != len(ask()) || !keep) {
			t.Errorf("of %d bytes %d were used, and the connection kept: %v", len(in), used, keep)
		}
		return answer, used > 0
	}
	if _, ok := quick(ask()); ok {
		t.Error("answered before anybody has asked for it")
	}
	var heads [2]http.Header
	for i := range heads { // from the disk, and from memory
		resp, err := http.Get(srv.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if heads[i] = resp.Header; err != nil || !bytes.Equal(body, want) {
			t.Fatalf("%s, %d bytes, %v", resp.Status, len(body), err)
		}
		heads[i].Del("Date")
	}
	answer, ok := quick(append(ask(), "GET / HTTP/1.1\r\n"...))
	if !ok {
		t.Fatal("a small file that was asked for is not in memory")
	}
	first := bytes.Clone(answer)
	clock.set(noon.Add(time.Hour))
	if answer, _ := quick(ask()); bytes.Equal(answer, first) {
		t.Error("the date stands still")
	}
	if !bytes.Equal(answer, first) {
		t.Error("an answer was written to that somebody may still be sending")
	}
	head, body, _ := bytes.Cut(answer, []byte("\r\n\r\n"))
	if !bytes.Equal(body, want) {
		t.Errorf("%d bytes from memory are others", len(body))
	}
	for name := range heads[0] {
		if line := fmt.Sprintf("\r\n%s: %s", name, heads[0].Get(name)); !bytes.Contains(head, []byte(line)) || heads[1].Get(name) != heads[0].Get(name) {
			t.Errorf("%q is missing in\n%s\n%v", line, head, heads[1])
		}
	}
	if st := e.Status(); st.Requests.Hits != 4 || st.Requests.HitBytes != 4*size {
		t.Errorf("counted %+v, want 4 hits", st.Requests)
	}
	for _, other := range []string{"Range: bytes=0-1\r\n", "If-None-Match: \"x\"\r\n", "Connection: close\r\n", "Host: y\r\n", "Content-Length: 3\r\n",
		"X: a\x00b\r\n", " folded\r\n", "User-Agent: x" + deliver.EdgeServer + "\r\n"} {
		if _, ok := quick(ask(other)); ok {
			t.Errorf("answered with %q", other)
		}
	}
	for _, in := range []string{"", "GET /", "HEAD" + string(ask()[3:]), strings.Replace(string(ask()), "1.1", "1.0", 1), strings.TrimSuffix(string(ask()), "\r\n")} {
		if _, ok := quick([]byte(in)); ok {
			t.Errorf("answered %q", in)
		}
	}
	if err := e.drop(t.Context(), o.keys[0], "withdrawn"); err != nil {
		t.Fatal(err)
	}
	if _, ok := quick(ask()); ok {
		t.Error("what was withdrawn is still in memory")
	}
}

// However much is asked for, memory is bounded, and what is asked for again and again stays.
func TestSmallAnswersAreBounded(t *testing.T) {
	var s smalls
	always := func() bool { return true }
	name := func(i int) string { return fmt.Sprint("/", i) }
	for i := range 1000 {
		s.put(newSmall(&known{key: fmt.Sprint(i % 7)}, name(i), http.Header{"Etag": {"x"}}, make([]byte, 1+i*50%maxSmall)), always)
		if s.get([]byte("/0")) == nil {
			t.Fatalf("after %d others, what is asked for all the time has gone", i)
		}
		var sum int64
		for _, x := range s.order {
			sum += x.cost()
		}
		if s.bytes != sum || sum > maxSmalls || len(s.order) != len(s.byPath) {
			t.Fatalf("%d bytes in %d answers, counted %d in %d; at most %d are allowed", sum, len(s.order), s.bytes, len(s.byPath), maxSmalls)
		}
	}
	s.forget("3")
	if s.get([]byte(name(3))) != nil || s.get([]byte(name(0))) == nil {
		t.Error("forgetting one content is not what it should be")
	}
	if s.forget(""); s.bytes != 0 || len(s.byPath)+len(s.order) > 0 {
		t.Errorf("after all were forgotten %d bytes are left", s.bytes)
	}
}
