package webfetch

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestRedirects(t *testing.T) {
	content := random(1000, 1)
	in := v1Info(t, "f", testFile{"", content})
	base, _, _ := serveMap(t, map[string][]byte{"/mirror/f": content})
	var hops atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hops.Add(1)
		if n, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/")); err == nil && n > 0 {
			http.Redirect(w, r, fmt.Sprintf("/%d", n-1), http.StatusFound)
			return
		}
		http.Redirect(w, r, base+"/mirror/f", http.StatusMovedPermanently)
	}))
	defer srv.Close()
	if got, err := fetched(t, newSource(t, in, srv.URL+"/3"), 500, 500); err != nil || !bytes.Equal(got, content[500:]) {
		t.Errorf("four redirects: %d bytes, %v", len(got), err)
	}
	hops.Store(0)
	if _, err := fetched(t, newSource(t, in, srv.URL+"/1000"), 0, 1000); err == nil || hops.Load() != maxRedirects+1 {
		t.Errorf("many redirects: %v after %d requests, want an error after %d", err, hops.Load(), maxRedirects+1)
	}
	req := func(u string) *http.Request { r, _ := http.NewRequest("GET", u, nil); return r }
	if err := checkRedirect(req("http://h/"), []*http.Request{req("https://h/")}); err == nil {
		t.Error("https may redirect to http")
	}
}

// A public server must not send us to machines behind our own firewall. 127.0.0.1 plays the public one here.
func TestRedirectToALocalAddressIsRefused(t *testing.T) {
	content := random(1000, 1)
	in := v1Info(t, "f", testFile{"", content})
	inner, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Skip(err)
	}
	local := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	})}
	var done sync.WaitGroup
	done.Go(func() { local.Serve(inner) })
	defer done.Wait()
	defer local.Close()
	srv := httptest.NewServer(http.RedirectHandler("http://"+inner.Addr().String()+"/f", http.StatusFound))
	defer srv.Close()
	for _, public := range []bool{true, false} {
		base, err := parseBase(srv.URL + "/")
		if err != nil {
			t.Fatal(err)
		}
		g := newGuard(base)
		if public {
			g.isLocal = func(a netip.Addr) bool { return a.String() == "127.0.0.2" }
		}
		s, err := New(Config{URL: srv.URL + "/", Info: in, Client: &http.Client{Transport: &http.Transport{DialContext: g.dial}}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = fetched(t, s, 0, 1000)
		s.Close()
		if (err != nil) != public || err != nil && !strings.Contains(err.Error(), "local address") {
			t.Errorf("from a public server %v: %v", public, err)
		}
	}
}
