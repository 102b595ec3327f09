package tracker

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// everybody is all that a tracker knows of its peers, for comparing.
func everybody(s *Server) map[netip.AddrPort]detail {
	all := map[netip.AddrPort]detail{}
	for i := range s.store.shards {
		for sw := range s.store.shards[i].swarms.all() {
			for j := range sw.v4.spots {
				p := sw.v4.at(j)
				p.detail.id[0] ^= sw.hash[0] ^ byte(p.state) // so that these are compared too
				all[netip.AddrPortFrom(netip.AddrFrom4(p.addr), p.port)] = p.detail
			}
			for j := range sw.v6.spots {
				p := sw.v6.at(j)
				p.detail.id[0] ^= sw.hash[0] ^ byte(p.state)
				all[netip.AddrPortFrom(netip.AddrFrom16(p.addr), p.port)] = p.detail
			}
		}
	}
	return all
}

// populated is a tracker with peers of all sorts in 7 swarms.
func populated() *Server {
	s := New(Config{})
	for n := range 300 {
		visit(s, n, func(r *request) {
			r.hash, r.site, r.left = hashNumber(n%7), uint32(n%3), n%4 != 0
			if n%5 == 0 {
				r.event = eventPaused
			}
			if n%2 == 0 {
				r.from = netip.AddrFrom16([16]byte{0x20, 1, 14: byte(n >> 8), 15: byte(n)})
			}
			if n == 299 {
				atHome(r)
			}
		})
	}
	visit(s, 1, func(r *request) { r.hash, r.left, r.event = hashNumber(1), false, eventCompleted })
	return s
}

func TestARestartDoesNotEmptyTheSwarms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := populated()
		var saved bytes.Buffer
		if err := s.Save(&saved); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // an upgrade
		again := New(Config{})
		if err := again.Restore(bytes.NewReader(saved.Bytes())); err != nil {
			t.Fatal(err)
		}
		was, is := everybody(s), everybody(again)
		if len(was) != 300 || len(is) != len(was) {
			t.Fatalf("%d peers, restored %d", len(was), len(is))
		}
		for at, want := range was {
			if is[at] != want {
				t.Fatalf("%v was %+v, restored %+v", at, want, is[at])
			}
		}
		a, b := s.Stats(), again.Stats()
		if a.AnnouncesHTTP = 0; a != b {
			t.Errorf("was %+v, restored %+v", a, b)
		}
		for i, was := range s.Top(10) {
			if is := again.Top(10)[i]; is != was {
				t.Errorf("swarm %d was %+v, restored %+v", i, was, is)
			}
		}
		if sw := again.store.shard(&[20]byte{5}).swarms.get(new(hashNumber(5))); sw.sites[1] == nil || sw.home == nil {
			t.Errorf("sites %v, home %v: want both restored", sw.sites, sw.home)
		}
		// They expire when they would have.
		time.Sleep(9*time.Minute + time.Second)
		again.store.sweep(again.now())
		if got := again.Stats().Peers; got != 0 {
			t.Errorf("%d peers are still there when they would have expired", got)
		}
		late := New(Config{})
		if err := late.Restore(bytes.NewReader(saved.Bytes())); err != nil || late.Stats().Peers != 0 {
			t.Errorf("restored too late: %v, %d peers; want none", err, late.Stats().Peers)
		}
	})
}

func TestRestoreKeepsBounds(t *testing.T) {
	var saved bytes.Buffer
	if err := populated().Save(&saved); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ peers, swarms int }{{100, 100}, {1000, 3}, {1, 1}} {
		s := New(Config{MaxPeers: c.peers, MaxSwarms: c.swarms})
		if err := s.Restore(bytes.NewReader(saved.Bytes())); err != nil {
			t.Fatal(err)
		}
		if got := s.Stats(); got.Peers > c.peers || got.Swarms > c.swarms || got.Peers == 0 || int64(got.Peers) != s.store.peers.Load() || int64(got.Swarms) != s.store.swarms.Load() {
			t.Errorf("bounds %+v: %+v, counted %d and %d", c, got, s.store.peers.Load(), s.store.swarms.Load())
		}
	}
}

func TestDamagedSnapshotsAreNoticed(t *testing.T) {
	var saved bytes.Buffer
	if err := populated().Save(&saved); err != nil {
		t.Fatal(err)
	}
	whole := saved.Bytes()
	for n := range len(whole) {
		if n > 200 && n < len(whole)-200 && n%397 != 0 {
			continue
		}
		if err := New(Config{}).Restore(bytes.NewReader(whole[:n])); !errors.Is(err, ErrSnapshot) {
			t.Fatalf("%d of %d bytes: %v, want %v", n, len(whole), err, ErrSnapshot)
		}
		if n < len(snapshotMagic)+8 {
			continue // a wrong time is another error, or none
		}
		bad := bytes.Clone(whole)
		bad[n] ^= 0x10
		if err := New(Config{}).Restore(bytes.NewReader(bad)); !errors.Is(err, ErrSnapshot) {
			t.Fatalf("byte %d of %d changed: %v, want %v", n, len(whole), err, ErrSnapshot)
		}
	}
}

// Whatever a file holds, restoring it keeps the bounds and the tables whole, and what was restored can be saved and restored again.
func FuzzSnapshot(f *testing.F) {
	var saved bytes.Buffer
	if err := populated().Save(&saved); err != nil {
		f.Fatal(err)
	}
	f.Add(saved.Bytes()[len(snapshotMagic)+8:])
	f.Fuzz(func(t *testing.T, records []byte) {
		head := saved.Bytes()[:len(snapshotMagic)]
		now := [8]byte{}
		unix := uint64(time.Now().Unix())
		for i := range now {
			now[i] = byte(unix >> (56 - 8*i))
		}
		s := New(Config{MaxPeers: 100, MaxSwarms: 10})
		s.Restore(bytes.NewReader(append(append(bytes.Clone(head), now[:]...), records...)))
		st := s.Stats()
		if st.Peers > 100 || st.Swarms > 10 || int64(st.Peers) != s.store.peers.Load() {
			t.Fatalf("beyond the bounds: %+v, counted %d", st, s.store.peers.Load())
		}
		var again bytes.Buffer
		if err := s.Save(&again); err != nil {
			t.Fatal(err)
		}
		s2 := New(Config{})
		if err := s2.Restore(&again); err != nil || s2.Stats().Peers != st.Peers {
			t.Fatalf("saved and restored again: %v, %d of %d peers", err, s2.Stats().Peers, st.Peers)
		}
	})
}
