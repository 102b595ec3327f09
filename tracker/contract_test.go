package tracker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// pair is two trackers that know the same peers: for the store in memory one, for the shared one two.
type pair struct{ a, b *Server }

// TestStoreContract is what every store promises: whatever is announced to one tracker, the other tells.
func TestStoreContract(t *testing.T) {
	for name, open := range map[string]func(*testing.T) pair{
		"memory": func(*testing.T) pair { s := New(Config{}); return pair{s, s} },
		"redis": func(t *testing.T) pair {
			url := startRedis(t, "").url
			return pair{runShared(t, url), runShared(t, url)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := open(t)
			six := func(r *request) { r.from = netip.MustParseAddr("2001:db8::4") }
			visit(p.a, 1, isSeed)
			visit(p.a, 2, func(r *request) { r.site = 77 })
			visit(p.b, 3, func(r *request) { r.event = eventPaused })
			visit(p.b, 4, six)
			want := counts{complete: 1, incomplete: 3, downloaders: 2}
			p.eventually(t, "all four are counted", func(s *Server) error { return hasCounts(s, want) })
			p.eventually(t, "all four are told", func(s *Server) error {
				a := visit(s, 9, func(r *request) { r.port = 0 })
				if len(a.v4.peers) != 3 || len(a.v6.peers) != 1 {
					return fmt.Errorf("told of %d and %d peers", len(a.v4.peers), len(a.v6.peers))
				}
				return nil
			})
			p.eventually(t, "seeds get leechers only", func(s *Server) error {
				a := visit(s, 9, func(r *request) { r.port, r.left = 0, false })
				if len(a.v4.peers) != 1 || a.v4.peers[0].addr != [4]byte{10, 0, 0, 2} || len(a.v6.peers) != 1 {
					return fmt.Errorf("told of %+v and %+v", a.v4.peers, a.v6.peers)
				}
				return nil
			})
			p.eventually(t, "the site comes first", func(s *Server) error {
				a := visit(s, 9, func(r *request) { r.port, r.site, r.want, r.families = 0, 77, 2, false })
				if !slices.ContainsFunc(a.v4.peers, func(x spot[[4]byte]) bool { return x.addr == [4]byte{10, 0, 0, 2} }) {
					return fmt.Errorf("told of %+v", a.v4.peers)
				}
				return nil
			})
			// A peer may change trackers from one announce to the next.
			visit(p.b, 2, func(r *request) { r.left, r.event, r.site = false, eventCompleted, 77 })
			p.eventually(t, "a download is counted once", func(s *Server) error {
				return hasCounts(s, counts{complete: 2, incomplete: 2, downloaders: 1, downloaded: 1})
			})
			visit(p.a, 4, func(r *request) { six(r); isStopped(r) })
			visit(p.b, 1, isStopped)
			p.eventually(t, "who stops is forgotten", func(s *Server) error {
				return hasCounts(s, counts{complete: 1, incomplete: 1, downloaded: 1})
			})
			visit(p.a, 3, func(r *request) { r.id = [20]byte{99}; isStopped(r) }) // somebody else says so
			for _, s := range slices.Compact([]*Server{p.a, p.b}) {
				s.store.sweep(s.now() + 590)
				if err := hasCounts(s, counts{complete: 1, incomplete: 1, downloaded: 1}); err != nil {
					t.Errorf("before their time: %v", err)
				}
				s.store.sweep(s.now() + 601)
				if got := s.Stats(); got.Peers != 0 || got.Swarms != 0 {
					t.Errorf("who is silent stays: %+v", got)
				}
			}
		})
	}
}

func hasCounts(s *Server, want counts) error {
	if got, _ := s.store.counts(hashNumber(1)); got != want {
		return fmt.Errorf("counts %+v, want %+v", got, want)
	}
	return nil
}

// eventually waits until both trackers pass.
func (p pair) eventually(t *testing.T, what string, check func(*Server) error) {
	t.Helper()
	for i, s := range []*Server{p.a, p.b} {
		eventually(t, fmt.Sprintf("tracker %d: %s", i, what), func() error { return check(s) })
	}
}

func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}

// redisServer is a real one, which keeps nothing.
type redisServer struct {
	url, port string
	stop      func()
}

// startRedis starts a server on a port, or on a free one.
func startRedis(t *testing.T, port string) *redisServer {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		if slices.Contains(strings.Split(os.Getenv("SHOAL_REQUIRE"), ","), "redis") {
			t.Fatal("SHOAL_REQUIRE=redis, but there is no redis-server")
		}
		t.Skip("no redis-server here")
	}
	if port == "" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ = net.SplitHostPort(l.Addr().String())
		l.Close()
	}
	cmd := exec.Command(program, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", t.TempDir())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := &redisServer{url: "redis://127.0.0.1:" + port + "/3", port: port}
	r.stop = sync.OnceFunc(func() { cmd.Process.Kill(); cmd.Wait() })
	t.Cleanup(r.stop)
	options, err := redis.ParseURL(r.url)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	defer client.Close()
	eventually(t, "redis-server answers", func() error { return client.Ping(context.Background()).Err() })
	return r
}

// runShared runs a tracker that shares its peers until the test ends.
func runShared(t *testing.T, url string) *Server {
	t.Helper()
	log, err := NewRedis(url)
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{Shared: log})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		log.Close()
	})
	return s
}

func peersAre(s *Server, want int) func() error {
	return func() error {
		if got := s.Stats().Peers; got != want {
			return fmt.Errorf("%d peers, want %d", got, want)
		}
		return nil
	}
}

func TestALostRedisIsNoReasonToStop(t *testing.T) {
	server := startRedis(t, "")
	a, b := runShared(t, server.url), runShared(t, server.url)
	visit(a, 1, nil)
	eventually(t, "b knows", peersAre(b, 1))
	server.stop()
	shared := func(s *Server, want string) func() error {
		return func() error {
			if got := s.Stats().Shared; got != want {
				return fmt.Errorf("shared = %q, want %q", got, want)
			}
			return nil
		}
	}
	eventually(t, "a notices", shared(a, "lost"))
	eventually(t, "b notices", shared(b, "lost"))
	visit(a, 2, nil)
	if got := visit(b, 3, nil); len(got.v4.peers) != 1 {
		t.Errorf("without Redis b tells of %d peers, want the one it knows", len(got.v4.peers))
	}
	if got := a.Stats().Peers; got != 2 {
		t.Errorf("without Redis a knows %d peers, want 2", got)
	}
	startRedis(t, server.port) // and it has forgotten everything
	eventually(t, "a learns of 3", peersAre(a, 3))
	eventually(t, "b learns of 2", peersAre(b, 3))
	eventually(t, "a is well", shared(a, "yes"))
	eventually(t, "b is well", shared(b, "yes"))
	late := runShared(t, server.url)
	eventually(t, "who comes later learns what was told since", peersAre(late, 2))
}

func TestWhoStartsLaterKnowsAll(t *testing.T) {
	server := startRedis(t, "")
	a := runShared(t, server.url)
	for n := range 1000 {
		visit(a, n, func(r *request) { r.hash = hashNumber(n % 10) })
	}
	visit(a, 7, func(r *request) { r.hash = hashNumber(7); isStopped(r) })
	visit(a, 5000, func(r *request) { atHome(r); r.hash = hashNumber(7) })
	b := runShared(t, server.url)
	eventually(t, "b knows all but who has stopped or is at a's home", peersAre(b, 999))
	// One UDP client may come to either.
	eventually(t, "a connection id of a is good at b", func() error {
		if !b.connIDGood(connect(t, a, peerA), peerA.Addr(), tickAt(time.Now())) {
			return errors.New("it is not")
		}
		return nil
	})
	if a.keys.Load().id != b.keys.Load().id {
		t.Errorf("they have different tracker ids")
	}
}

func TestRedisURLs(t *testing.T) {
	for _, url := range []string{"redis://127.0.0.1", "redis://:secret@127.0.0.1:6379/3", "rediss://user:secret@127.0.0.1/0"} {
		r, err := NewRedis(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		r.Close()
	}
	for _, url := range []string{"http://127.0.0.1", "redis://u:secret@127.0.0.1/x", "redis://u:secret@127.0.0.1:port"} {
		if _, err := NewRedis(url); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error %v, want one without the password", url, err)
		}
	}
}

// What is pending while the log is lost is bounded, and stays whole records.
func TestPendingIsBounded(t *testing.T) {
	sh := newShare(nil)
	r := request{hash: hashNumber(1), from: netip.MustParseAddr("10.0.0.1"), port: 1}
	six := r
	six.from = netip.MustParseAddr("2001:db8::1")
	for range maxPending / recordLen {
		sh.add(&r, 600)
		sh.add(&six, 600)
	}
	if len(sh.pending) > maxPending+200 || len(sh.pending) < maxPending/2 {
		t.Errorf("%d bytes are pending, want up to %d", len(sh.pending), maxPending)
	}
	if got := cutAt(sh.pending, len(sh.pending)); got != len(sh.pending) {
		t.Errorf("the records end at %d of %d bytes", got, len(sh.pending))
	}
}

// Whatever another tracker writes, the bounds hold, and records that were taken have been whole.
func FuzzBatch(f *testing.F) {
	r := request{hash: hashNumber(1), id: [20]byte{1}, from: netip.MustParseAddr("10.0.0.1"), port: 1, left: true, site: 5}
	b := appendRecord(nil, &r, 600)
	r.from, r.event = netip.MustParseAddr("2001:db8::1"), eventStopped
	f.Add(appendRecord(b, &r, 600), uint16(3))
	f.Fuzz(func(t *testing.T, data []byte, age uint16) {
		s := New(Config{MaxPeers: 50, MaxSwarms: 5})
		n := s.applyBatch(batch{data, time.Duration(age) * time.Second})
		if n*recordLen > len(data) {
			t.Fatalf("%d records in %d bytes", n, len(data))
		}
		st := s.Stats()
		if st.Peers > 50 || st.Swarms > 5 || st.Peers > n || st.AnnouncesHTTP+st.AnnouncesUDP > 0 {
			t.Fatalf("%d records: %+v", n, st)
		}
		s.store.sweep(s.now() + 1<<21)
		if got := s.Stats(); got.Peers != 0 || got.Swarms != 0 {
			t.Fatalf("some never expire: %+v", got)
		}
	})
}
