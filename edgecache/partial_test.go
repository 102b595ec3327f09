package edgecache

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestNothingComesAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		var waits atomic.Bool
		waits.Store(true)
		begin := time.Now()
		ended := make(chan bool, 1)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { ended <- comesNoMore(ctx, waits.Load, n.Load) }()
		for range 10 { // slowly, but it comes
			time.Sleep(comeTime - 2*time.Second)
			n.Add(1)
		}
		waits.Store(false)
		time.Sleep(10 * time.Minute) // its client takes what has come
		waits.Store(true)
		select {
		case <-ended:
			t.Fatalf("given up after %v, although it came", time.Since(begin))
		default:
		}
		again := time.Now()
		if !<-ended {
			t.Fatal("ended without a reason")
		}
		if took := time.Since(again); took < comeTime-2*time.Second || took > comeTime+2*time.Second {
			t.Errorf("given up after %v, want %v", took, comeTime)
		}
		go func() { ended <- comesNoMore(ctx, waits.Load, n.Load) }()
		cancel()
		if <-ended {
			t.Error("who has gone is told that nothing comes")
		}
	})
}

// A range that makes no sense is no range also while the content comes in: a server may not refuse a unit that it does not know, nor need it assemble thousands of parts.
func TestUnreasonableRangesAreIgnoredOnAMiss(t *testing.T) {
	t.Parallel()
	base, _, _, _ := newRepositoryOrigin(t, "app", 100_000)
	for _, ranges := range []string{"lines=1-2", "bytes=0-0" + strings.Repeat(",0-0", 200)} {
		e, _ := runEdge(t, &origin{urls: []*url.URL{base}}, Config{FirstUse: true, Apps: []string{"none"}, PullThrough: true})
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/app@1.0/app.bin", nil)
		r.Header.Set("Range", ranges)
		if e.ServeHTTP(w, r); w.Code != http.StatusOK || w.Body.Len() != 100_000 {
			t.Errorf("%.20s: status %d, %d bytes, want 200 and all", ranges, w.Code, w.Body.Len())
		}
	}
}

// Who gets what is still coming takes a place as who gets what is here: one client leaves some for others.
func TestOneClientLeavesRoomForOthersAlsoOnAMiss(t *testing.T) {
	t.Parallel()
	base, _, _, _ := newRepositoryOrigin(t, "app", 100_000)
	e, _ := runEdge(t, &origin{urls: []*url.URL{base}}, Config{FirstUse: true, Apps: []string{"none"}, PullThrough: true})
	e.web.Responses = 4
	request := func(from string) *http.Request {
		r := httptest.NewRequest(http.MethodGet, "/app@1.0/app.bin", nil)
		r.RemoteAddr = from + ":1"
		return r
	}
	for range 3 {
		if _, ok := e.web.Begin(httptest.NewRecorder(), request("10.0.0.1")); !ok {
			t.Fatal("there is no room for three of four")
		}
	}
	for from, want := range map[string]int{"10.0.0.1": http.StatusServiceUnavailable, "10.0.0.2": http.StatusOK} {
		w := httptest.NewRecorder()
		if e.ServeHTTP(w, request(from)); w.Code != want {
			t.Errorf("%s: status %d, want %d", from, w.Code, want)
		}
	}
}

func TestRangeStart(t *testing.T) {
	for header, want := range map[string]int64{"": 0, "bytes=5-9": 5, "bytes=7-": 7, "bytes=-3": 97, "bytes=-300": 0, "bytes= 4-5, 8-9": 4, "bytes=x-3": 0, "bytes=--3": 0, "lines=1-2": 0,
		"bytes=200-": 200, "bytes=99999999999999999999-": 0} {
		if got := rangeStart(header, 100); got != want {
			t.Errorf("%q begins at %d, want %d", header, got, want)
		}
	}
}
