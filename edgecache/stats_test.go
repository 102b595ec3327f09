package edgecache

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

// Each request is counted once, as what came of it, and when that is known: no count ever falls, nor is any of them less than nothing.
func TestRequestsAddUp(t *testing.T) {
	t.Parallel()
	const size = 200_000
	o := newOrigin(t, size)
	base, key, _, _ := newRepositoryOrigin(t, "app", 1000)
	o.urls = append(o.urls, base)
	e, _ := runEdge(t, o, Config{FirstUse: true, Apps: []string{"none"}})
	until(t, "one is here", func() bool { return e.Status().Kept == 1 })
	counts := func() [4]int64 {
		r := e.Status().Requests
		return [4]int64{r.All, r.Hits, r.Misses, r.Redirects}
	}
	ask := func(path string) int {
		w := httptest.NewRecorder()
		e.ServeHTTP(w, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: path}, RequestURI: path, Header: http.Header{}, RemoteAddr: "127.0.0.1:1"})
		return w.Code
	}

	w := &slowClient{ResponseRecorder: httptest.NewRecorder(), writing: make(chan struct{}), on: make(chan struct{})}
	done := make(chan struct{})
	go func() { defer close(done); e.ServeHTTP(w, o.request(0)) }()
	<-w.writing
	if got := counts(); got != [4]int64{} {
		t.Errorf("while a response is under way %v are counted", got)
	}
	close(w.on)
	<-done
	want := [4]int64{1, 1, 0, 0}
	for _, x := range []struct {
		path string
		code int
		then [4]int64
	}{
		{"/app@1.0/app.bin", http.StatusTemporaryRedirect, [4]int64{2, 1, 0, 1}},
		{"/content/" + key + "/app.bin", http.StatusTemporaryRedirect, [4]int64{3, 1, 0, 2}},
		{"/app@1.0", http.StatusOK, [4]int64{3, 1, 0, 2}}, // no content
	} {
		if got := counts(); got != want {
			t.Errorf("before %s: %v, want %v", x.path, got, want)
		}
		if code := ask(x.path); code != x.code {
			t.Errorf("%s: status %d, want %d", x.path, code, x.code)
		}
		want = x.then
	}
	if got := counts(); got != want {
		t.Errorf("at the end: %v, want %v", got, want)
	}
}

// slowClient is a response whose client takes nothing until it is let.
type slowClient struct {
	*httptest.ResponseRecorder
	writing, on chan struct{}
	begun       bool
}

func (w *slowClient) Write(b []byte) (int, error) {
	if !w.begun {
		w.begun = true
		close(w.writing)
		<-w.on
	}
	return w.ResponseRecorder.Write(b)
}
