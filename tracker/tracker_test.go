package tracker

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func hashNumber(i int) [20]byte { return [20]byte{byte(i), byte(i >> 8), byte(i >> 16), 0xaa} }

// visit announces peer n (10.0.x.x:1000) and returns the answer.
func visit(s *Server, n int, change func(*request)) answer {
	r := request{hash: hashNumber(1), id: [20]byte{2, byte(n >> 8), byte(n)}, from: netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}),
		port: 1000, left: true, want: -1, families: true}
	if change != nil {
		change(&r)
	}
	var a answer
	if err := s.announce(doorHTTP, &r, &a, time.Now()); err != nil {
		panic(err)
	}
	return a
}

func isSeed(r *request)    { r.left = false }
func isStopped(r *request) { r.event = eventStopped }

func TestCounts(t *testing.T) {
	s := New(Config{})
	visit(s, 1, isSeed)
	visit(s, 2, nil)
	visit(s, 3, func(r *request) { r.event = eventPaused })
	visit(s, 4, func(r *request) { r.from = netip.MustParseAddr("2001:db8::4") })
	if got, want := visit(s, 5, func(r *request) { r.port = 0 }).counts, (counts{complete: 1, incomplete: 3, downloaders: 2}); got != want {
		t.Errorf("counts = %+v, want %+v (port 0 is not listed)", got, want)
	}
	visit(s, 2, func(r *request) { r.left, r.event = false, eventCompleted })
	visit(s, 2, func(r *request) { r.left, r.event = false, eventCompleted }) // says it twice
	visit(s, 2, isSeed)
	if got, want := visit(s, 4, func(r *request) { isStopped(r); r.from = netip.MustParseAddr("2001:db8::4") }).counts,
		(counts{complete: 2, incomplete: 1, downloaders: 0, downloaded: 1}); got != want {
		t.Errorf("counts = %+v, want %+v", got, want)
	}
}

func TestSeedGetsOnlyThoseThatWantPieces(t *testing.T) {
	s := New(Config{})
	visit(s, 1, isSeed)
	visit(s, 2, func(r *request) { r.event = eventPaused })
	visit(s, 3, nil)
	for name, change := range map[string]func(*request){"seed": isSeed, "partial seed": func(r *request) { r.event = eventPaused }} {
		a := visit(s, 9, change)
		if len(a.v4.peers) != 1 || a.v4.peers[0].addr != [4]byte{10, 0, 0, 3} {
			t.Errorf("a %s got %+v, want the leecher alone", name, a.v4)
		}
		visit(s, 9, isStopped)
	}
	if a := visit(s, 9, nil); len(a.v4.peers) != 3 {
		t.Errorf("a leecher got %d peers, want all 3", len(a.v4.peers))
	}
}

// aria2 says left=0 as long as it has only a magnet link: it must learn of a seed all the same, over both doors.
func TestMagnetOfAria2GetsSeeds(t *testing.T) {
	s := New(Config{})
	visit(s, 1, isSeed)
	var r request
	query := func(moved string) string {
		return "info_hash=" + strings.Repeat("h", 20) + "&peer_id=A2-1-36-0-0123456789&port=1&left=0&" + moved
	}
	for moved, want := range map[string]bool{"uploaded=0&downloaded=0": true, "uploaded=0&downloaded=5": false, "uploaded=5&downloaded=0": false} {
		if _, _, err := parseAnnounce(query(moved), &r); err != nil || r.wants() != want {
			t.Errorf("%s: wants seeds = %v (%v), want %v", moved, r.wants(), err, want)
		}
		pkt := make([]byte, announceLen)
		copy(pkt[36:], "A2-1-36-0-0123456789")
		pkt[63], pkt[79] = byte(strings.Count(moved, "downloaded=5")), byte(strings.Count(moved, "uploaded=5"))
		if !parseAnnounceUDP(pkt, &r) || r.wants() != want {
			t.Errorf("%s over UDP: wants seeds = %v, want %v", moved, r.wants(), want)
		}
	}
	a := visit(s, 9, func(r *request) { isSeed(r); r.idle = true; copy(r.id[:], "A2-") })
	if len(a.v4.peers) != 1 {
		t.Errorf("aria2 with a magnet link got %+v, want the seed", a.v4)
	}
}

func TestBothFamilies(t *testing.T) {
	s := New(Config{})
	six := func(n int) func(*request) {
		return func(r *request) { r.from = netip.AddrFrom16([16]byte{0x20, 1, 14: byte(n >> 8), 15: byte(n)}) }
	}
	for n := range 100 {
		visit(s, n, nil)
		visit(s, 1000+n, six(n))
	}
	if a := visit(s, 500, nil); len(a.v4.peers) != 38 || len(a.v6.peers) != 12 {
		t.Errorf("IPv4 asker: %d + %d peers, want three quarters of its family", len(a.v4.peers), len(a.v6.peers))
	}
	if a := visit(s, 501, six(501)); len(a.v6.peers) != 38 || len(a.v4.peers) != 12 {
		t.Errorf("IPv6 asker: %d + %d peers, want three quarters of its family", len(a.v4.peers), len(a.v6.peers))
	}
	if a := visit(s, 502, func(r *request) { r.families = false }); len(a.v4.peers) != 50 || len(a.v6.peers) != 0 {
		t.Errorf("one family only: %d + %d peers, want 50 + 0", len(a.v4.peers), len(a.v6.peers))
	}
	// One machine that announces over both families is not told of itself.
	s = New(Config{})
	visit(s, 7, nil)
	if a := visit(s, 7, six(7)); len(a.v4.peers)+len(a.v6.peers) != 0 {
		t.Errorf("a dual-stack machine was told of itself: %+v", a)
	}
}

func TestSiteComesFirst(t *testing.T) {
	s := New(Config{})
	home, away := siteOf([]byte("berlin")), siteOf([]byte("oslo"))
	for n := range 300 {
		visit(s, n, func(r *request) {
			r.site = away
			if n%10 == 0 {
				r.site = home // 30 of 300
			}
		})
	}
	near := 0
	a := visit(s, 1, func(r *request) { r.site, r.id, r.port = home, [20]byte{9}, 1001 })
	for _, p := range a.v4.peers {
		if n := int(p.addr[2])<<8 | int(p.addr[3]); n%10 == 0 {
			near++
		}
	}
	if len(a.v4.peers) != 50 || near != 30 {
		t.Errorf("%d peers, %d of the site, want 50 with all 30", len(a.v4.peers), near)
	}
	// Peers that move or leave do not stay in the site's list.
	for n := 0; n < 300; n += 10 {
		visit(s, n, func(r *request) {
			if r.site = away; n%20 == 0 {
				r.event = eventStopped
			}
		})
	}
	visit(s, 1, func(r *request) { r.id, r.port, r.event = [20]byte{9}, 1001, eventStopped })
	sw := s.store.shard(&[20]byte{1}).swarms.get(new(hashNumber(1)))
	if sw.sites[home] != nil || sw.sites[away].len() != 285 || sw.len() != 285 {
		t.Errorf("sites: home %v, away %d, all %d; want none, 285, 285", sw.sites[home], sw.sites[away].len(), sw.len())
	}
}

// A process starts on the port of one that is still saying good-bye.
func TestLateStopDoesNotRemoveTheSuccessor(t *testing.T) {
	s := New(Config{})
	visit(s, 1, nil)
	visit(s, 1, func(r *request) { r.id, r.event = [20]byte{7}, eventStarted })
	visit(s, 1, isStopped)
	if got := s.Stats().Peers; got != 1 {
		t.Errorf("peers = %d, want the successor", got)
	}
	visit(s, 1, func(r *request) { r.id = [20]byte{7}; isStopped(r) })
	if got := s.Stats().Peers; got != 0 {
		t.Errorf("peers = %d, want none", got)
	}
}

// Peers of a hybrid announce each of its names, and are counted once.
func TestSwarmsOfOneContentCountOnce(t *testing.T) {
	s := New(Config{NameOf: func(hash [20]byte) ([20]byte, bool) {
		return hashNumber(1), hash == hashNumber(1) || hash == hashNumber(2)
	}})
	for n := range 3 {
		visit(s, n, nil)
		visit(s, n, func(r *request) { r.hash = hashNumber(2) })
	}
	visit(s, 3, nil)
	visit(s, 4, func(r *request) { r.hash = hashNumber(3) })
	if st := s.Stats(); st.Swarms != 2 || st.Peers != 5 {
		t.Errorf("%d swarms with %d peers, want 2 with 5", st.Swarms, st.Peers)
	}
}

func TestBounds(t *testing.T) {
	s := New(Config{MaxPeers: 3, MaxSwarms: 2})
	for n := range 3 {
		visit(s, n, nil)
	}
	if a := visit(s, 4, nil); a.warning == "" || len(a.v4.peers) != 3 {
		t.Errorf("beyond MaxPeers: warning %q and %d peers, want a warning and 3", a.warning, len(a.v4.peers))
	}
	if a := visit(s, 1, isSeed); a.warning != "" || a.counts.complete != 1 {
		t.Errorf("a listed peer is warned %q, counts %+v", a.warning, a.counts)
	}
	s = New(Config{MaxSwarms: 2})
	for n := range 4 {
		a := visit(s, n, func(r *request) { r.hash = hashNumber(n) })
		if full := n >= 2; full != (a.warning != "") {
			t.Errorf("swarm %d: warning %q", n, a.warning)
		}
	}
	if got := s.Stats().Swarms; got != 2 {
		t.Errorf("swarms = %d, want 2", got)
	}
}

func TestSilentPeersAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := New(Config{})
		var done sync.WaitGroup
		done.Go(func() { s.Run(ctx) })
		visit(s, 1, nil) // young: is kept for the floor of ten minutes
		visit(s, 2, func(r *request) { r.site = 5; r.from = netip.MustParseAddr("2001:db8::2") })
		time.Sleep(9 * time.Minute)
		visit(s, 3, isSeed)
		if got := s.Stats().Peers; got != 3 {
			t.Errorf("peers after 9m = %d, want 3", got)
		}
		time.Sleep(70 * time.Second) // expired, whether swept or not
		if a := visit(s, 4, nil); len(a.v4.peers)+len(a.v6.peers) != 1 {
			t.Errorf("peers told after 10m = %+v, want the seed", a)
		}
		time.Sleep(sweepEvery)
		if got := s.Stats(); got.Peers != 2 || got.Seeds != 1 {
			t.Errorf("after a sweep: %+v, want two peers, one a seed", got)
		}
		time.Sleep(24 * time.Hour)
		if got := s.Stats(); got.Peers != 0 || got.Swarms != 0 {
			t.Errorf("a day later: %+v, want nothing", got)
		}
		if p, sw := s.store.peers.Load(), s.store.swarms.Load(); p != 0 || sw != 0 {
			t.Errorf("the bounds count %d peers and %d swarms, want none", p, sw)
		}
		cancel()
		done.Wait()
	})
}

// A day of a settled swarm on the fake clock: each peer comes when it is told to, nobody is lost, the dead are gone.
func TestADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := New(Config{})
		var done sync.WaitGroup
		done.Go(func() { s.Run(ctx) })
		var announces atomic.Int64
		for n := range 50 {
			done.Go(func() {
				time.Sleep(time.Duration(n) * time.Second)
				for ctx.Err() == nil {
					a := visit(s, n, isSeed)
					announces.Add(1)
					if n >= 40 && s.now() > 12*3600 {
						return // dies without a word
					}
					select {
					case <-ctx.Done():
					case <-time.After(time.Duration(a.interval) * time.Second):
					}
				}
			})
		}
		for range 23 {
			time.Sleep(time.Hour)
			synctest.Wait()
			want := 50
			if s.now() > 12*3600 {
				want = 40
			}
			if got := s.Stats().Peers; got < want || got > 50 {
				t.Errorf("after %d s: %d peers, want %d", s.now(), got, want)
			}
		}
		if got := s.Stats().Peers; got != 40 {
			t.Errorf("at the end: %d peers, want the 40 that live", got)
		}
		if perPeer := announces.Load() / 50; perPeer < 40 || perPeer > 60 {
			t.Errorf("%d announces per peer, want about two per hour", perPeer)
		}
		cancel()
		done.Wait()
	})
}

func TestStatsAndTop(t *testing.T) {
	s := New(Config{Allow: func(h [20]byte) bool { return h != hashNumber(66) }})
	for swarm := range 10 {
		for n := range swarm + 1 {
			visit(s, n, func(r *request) { r.hash = hashNumber(swarm); r.left = n > 0 })
		}
	}
	r := request{hash: hashNumber(66), from: netip.MustParseAddr("10.0.0.1"), port: 1}
	if err := s.announce(doorUDP, &r, &answer{}, time.Now()); err != failRefused {
		t.Errorf("a swarm that is not allowed: %v, want %v", err, failRefused)
	}
	want := Stats{Swarms: 10, Peers: 55, Seeds: 10, Leechers: 45, AnnouncesHTTP: 55, Refused: 1}
	if got := s.Stats(); got != want {
		t.Errorf("Stats = %+v, want %+v", got, want)
	}
	top := s.Top(3)
	if len(top) != 3 {
		t.Fatalf("Top(3) has %d swarms", len(top))
	}
	for i, sw := range top {
		if sw.InfoHash != hashNumber(9-i) || sw.Seeds != 1 || sw.Leechers != 9-i {
			t.Errorf("Top[%d] = %+v, want swarm %d", i, sw, 9-i)
		}
	}
	if got := s.Top(0); len(got) != 0 {
		t.Errorf("Top(0) = %+v, want none", got)
	}
}

func TestConcurrentAnnounces(t *testing.T) {
	s := New(Config{})
	var done sync.WaitGroup
	for g := range 8 {
		done.Go(func() {
			for i := range 2000 {
				n := g*2000 + i
				visit(s, n, func(r *request) {
					r.hash, r.site = hashNumber(i%5), uint32(i%3)
					if i%4 == 3 {
						r.event = eventStopped
					}
				})
				if i%500 == 0 {
					s.store.sweep(s.now())
					s.Stats()
				}
			}
		})
	}
	done.Wait()
	if got, want := s.Stats().Peers, 8*1500; got != want {
		t.Errorf("peers = %d, want %d", got, want)
	}
}
