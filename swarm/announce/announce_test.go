package announce

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"shoal/tracker"
)

// meet starts a tracker and returns its HTTP and UDP URLs.
func meet(t *testing.T) (srv *tracker.Server, urls []string) {
	t.Helper()
	srv = tracker.New(tracker.Config{})
	web := httptest.NewServer(srv)
	t.Cleanup(web.Close)
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); srv.ServeUDP(ctx, pc) }()
	t.Cleanup(func() { cancel(); <-done; pc.Close() })
	return srv, []string{web.URL + "/announce", "udp://" + pc.LocalAddr().String() + "/announce"}
}

// run runs a scheduler until the returned function is called.
func run(t *testing.T, s *Scheduler) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); <-done }) }
	t.Cleanup(stop)
	return stop
}

// job announces one hash and hands what is found to a channel.
func job(url string, left int64) (Job, chan []Peer) {
	found := make(chan []Peer, 100)
	return Job{
		InfoHashes: [][20]byte{{1}, {2}}, Tiers: [][]string{{url}},
		State: func() State { return State{Left: left, Hungry: left > 0} },
		Found: func(_ string, p []Peer) { found <- p },
	}, found
}

func TestTwoNodesMeet(t *testing.T) {
	srv, urls := meet(t)
	for i, url := range urls {
		t.Run(strings.SplitN(url, ":", 2)[0], func(t *testing.T) {
			leecher := NewScheduler(Config{PeerID: [20]byte{'L', byte(i)}, Port: 1001 + i})
			run(t, leecher)
			j, found := job(url, 10)
			leecher.Add(j)
			seed := NewScheduler(Config{PeerID: [20]byte{'S', byte(i)}, Port: 2001 + i})
			stop := run(t, seed)
			k, _ := job(url, 0)
			seed.Add(k)
			want := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(2001+i))
			for deadline := time.After(20 * time.Second); ; {
				var peers []Peer
				select {
				case peers = <-found: // it comes back early, since it has nobody
				case <-deadline:
					t.Fatal("the leecher was never told of the seed")
				}
				if len(peers) > 0 && peers[0].Addr == want {
					break
				}
			}
			for range 1000 { // the leecher may have come between the announces of the two hashes
				if srv.Stats().Seeds == 2 {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			if got := srv.Stats().Seeds; got != 2 {
				t.Errorf("seeds = %d, want one per hash", got)
			}
			stop() // says "stopped"
			if got := srv.Stats().Seeds; got != 0 {
				t.Errorf("seeds after the seed stopped = %d, want none", got)
			}
		})
	}
}

func TestCompletedIsSaidOnce(t *testing.T) {
	var mu sync.Mutex
	events := map[string]int{}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		events[r.URL.Query().Get("event")]++
		mu.Unlock()
		io.WriteString(w, "d8:intervali1800e5:peers0:e")
	}))
	defer web.Close()
	s := NewScheduler(Config{})
	stop := run(t, s)
	j, _ := job(web.URL, 0)
	j.InfoHashes = j.InfoHashes[:1]
	e := s.Add(j)
	wait := func(event string, n int) {
		t.Helper()
		for range 1000 {
			mu.Lock()
			got := events[event]
			mu.Unlock()
			if got == n {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatalf("%q was not said %d times: %v", event, n, events)
	}
	wait("started", 1)
	e.Completed()
	wait("completed", 1)
	e.Kick()
	wait("", 1)
	stop()
	wait("stopped", 1)
	if events["completed"] != 1 || events["started"] != 1 {
		t.Errorf("events = %v, want started and completed once", events)
	}
}

func TestNextTrackerOfTheTierStandsIn(t *testing.T) {
	_, urls := meet(t)
	s := NewScheduler(Config{Port: 1})
	run(t, s)
	found := make(chan []Peer, 1)
	e := s.Add(Job{
		InfoHashes: [][20]byte{{9}}, Tiers: [][]string{{"http://127.0.0.1:1/announce", urls[0]}, {"wss://ignored"}},
		State: func() State { return State{Left: 1} }, Found: func(_ string, p []Peer) { found <- p },
	})
	for range 1000 {
		if st := e.Status(); len(st) == 1 && !st[0].Last.IsZero() && st[0].Err == "" {
			if st[0].URL != urls[0] {
				t.Errorf("status is of %s, want %s", st[0].URL, urls[0])
			}
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("no tracker of the tier worked: %+v", e.Status())
}

func TestBadTrackers(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"endless": func(w http.ResponseWriter, r *http.Request) {
			for range 4 << 10 {
				if _, err := w.Write(make([]byte, 1<<10)); err != nil {
					return
				}
			}
		},
		"garbage":  func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "<html>") },
		"refusal":  func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "d14:failure reason4:nopee") },
		"error":    func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", 500) },
		"odd list": func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "d5:peers7:1234567e") },
		"hangs":    func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		t.Run(name, func(t *testing.T) {
			web := httptest.NewServer(h)
			defer web.Close()
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			rep, err := Once(ctx, newClient(), web.URL, Request{})
			if err == nil {
				t.Fatalf("no error, but %+v", rep)
			}
			if name == "refusal" && !strings.Contains(err.Error(), "nope") {
				t.Errorf("error %q does not say the tracker's reason", err)
			}
			if strings.Contains(err.Error(), "info_hash") {
				t.Errorf("error %q drags the query along", err)
			}
		})
	}
}

func TestSilentUDPTrackerGivesUp(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	_, err = Once(ctx, nil, "udp://"+pc.LocalAddr().String(), Request{})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error = %v, want the context's", err)
	}
}

func FuzzParseHTTP(f *testing.F) {
	f.Add([]byte("d8:intervali1800e5:peers6:\x7f\x00\x00\x01\x1a\xe1e"))
	f.Add([]byte("d5:peersld2:ip9:127.0.0.14:porti6881eeee"))
	f.Add([]byte("d14:failure reason4:nope8:retry ini5ee"))
	f.Fuzz(func(t *testing.T, b []byte) {
		rep, _ := parseHTTP(b)
		checkReply(t, rep)
	})
}

func FuzzParseUDP(f *testing.F) {
	f.Add(append([]byte("\x00\x00\x00\x01aaaa\x00\x00\x07\x08\x00\x00\x00\x01\x00\x00\x00\x02"), 127, 0, 0, 1, 0x1a, 0xe1), true)
	f.Fuzz(func(t *testing.T, b []byte, v4 bool) {
		size := 18
		if v4 {
			size = 6
		}
		rep, _ := parseUDP(b, size)
		checkReply(t, rep)
	})
}

func checkReply(t *testing.T, r Reply) {
	t.Helper()
	if len(r.Peers) > maxPeers || r.Interval < 0 || r.MinInterval < 0 || r.RetryIn < 0 {
		t.Fatalf("out of bounds: %+v", r)
	}
	for _, p := range r.Peers {
		if !p.Addr.IsValid() || p.Addr.Port() == 0 || p.Addr.Addr().Is4In6() {
			t.Fatalf("peer %v cannot be dialled", p)
		}
	}
}

func BenchmarkTenThousandIdle(b *testing.B) {
	for b.Loop() {
		s := NewScheduler(Config{})
		for i := range 10_000 {
			s.Add(Job{InfoHashes: [][20]byte{{byte(i), byte(i >> 8)}}, Tiers: [][]string{{fmt.Sprintf("http://127.0.0.1:1/%d", i)}}})
		}
	}
}

// A torrent that is closed and added again is announced after the farewell, however long a tracker takes to hear that.
func TestAddedAgainAfterItHasStopped(t *testing.T) {
	heard := make(chan string, 10)
	held := make(chan struct{})
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		event := r.URL.Query().Get("event")
		if event == "stopped" {
			<-held
		}
		heard <- event
		io.WriteString(w, "d8:intervali1800e5:peers0:e")
	}))
	defer web.Close()
	s := NewScheduler(Config{})
	run(t, s)
	j, _ := job(web.URL, 0)
	j.InfoHashes = j.InfoHashes[:1]
	e := s.Add(j)
	got := []string{<-heard}
	e.Close()
	for range 2 { // the first of them has nothing to say
		e = s.Add(j)
		e.Close()
	}
	s.Add(j)
	other := j
	other.InfoHashes = [][20]byte{{9}}
	s.Add(other) // has nothing to wait for
	got = append(got, <-heard)
	close(held)
	got = append(got, <-heard, <-heard)
	if want := "started started stopped started"; strings.Join(got, " ") != want {
		t.Errorf("the tracker has heard %q, want %q", got, want)
	}
}
