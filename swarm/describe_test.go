package swarm

import (
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"shoal/piece"
)

// described is how many pieces of metadata a transfer's session has given to all who are connected.
func described(t *testing.T, tr *Transfer) (n int) {
	t.Helper()
	s, err := tr.session()
	if err != nil {
		t.Fatal(err)
	}
	if !s.call(func() {
		for _, c := range s.conns {
			n += c.metadataServed
		}
	}) {
		t.Fatal("the session has ended")
	}
	return n
}

func TestFirstAreDescribedToAndOthersReferred(t *testing.T) {
	long := &piece.Torrent{Info: &piece.Info{Bytes: make([]byte, smallDescribed), HasV1: true}}
	tr := new(Transfer)
	now := time.Unix(1e9, 0)
	for i := range 10 {
		if got, want := tr.Refers(long, now), i >= firstDescribed; got != want {
			t.Errorf("the %d. that asks: referred %v, want %v", i+1, got, want)
		}
	}
	if now = now.Add(referTime + 1); tr.Refers(long, now) {
		t.Error("referred to those who were described to long ago, and are not there")
	}
	tr.counts.describers.Store(enoughDescribe)
	if !tr.Refers(long, now) {
		t.Error("not referred to peers that have it")
	}
	if tr.Refers(&piece.Torrent{Info: &piece.Info{Bytes: make([]byte, smallDescribed-1), HasV1: true}}, now) {
		t.Error("referred for a description of little")
	}
	if tr.Refers(&piece.Torrent{Info: &piece.Info{Bytes: long.Bytes}}, now) {
		t.Error("referred for a torrent of v2 alone, of which nothing that lies there can be told to be right before the layers are here")
	}
	if tr.Refers(&piece.Torrent{Info: &piece.Info{Bytes: long.Bytes, HasV1: true, Private: true}}, now) {
		t.Error("referred for a private torrent, of which a magnet link cannot tell that it is")
	}
}

// A description that some have goes from peer to peer, and the origin is not asked for it.
func TestDescriptionSpreads(t *testing.T) {
	x := tree{"big": random(8<<20, 1)}
	tor, path := makeTree(t, x, piece.BuildConfig{PieceLength: 16 << 10})
	o := newMachine(t, Config{Role: RoleOrigin})
	origin := add(t, o, Spec{Torrent: tor, Content: path})
	addrs := []string{o.addr}
	var trs []*Transfer
	for range enoughDescribe {
		m := newMachine(t, Config{})
		trs = append(trs, add(t, m, Spec{Torrent: tor, Dir: t.TempDir(), Peers: addrs}))
		addrs = append(addrs, m.addr)
	}
	until(t, "peers with the description", func() bool { return origin.counts.describers.Load() >= enoughDescribe })
	for range 2 * describedAtOnce {
		m := newMachine(t, Config{})
		trs = append(trs, add(t, m, magnet(tor, true, true, Spec{Dir: t.TempDir(), Peers: addrs})))
		addrs = append(addrs, m.addr)
	}
	for _, tr := range trs {
		select {
		case <-tr.Known():
		case <-time.After(20 * time.Second):
			t.Fatal("the description does not come")
		}
	}
	if n := described(t, origin); n >= 2*describedAtOnce { // on a busy computer some may come back to it
		t.Errorf("the origin gave the description to %d machines, which is all, though others had it", n)
	}
	for _, tr := range trs {
		wait(t, tr, 30*time.Second)
		if !tr.Torrent().HasLayers() {
			t.Error("it has ended without the piece layers")
		}
		tr.Close()
		x.equal(t, readTree(t, filepath.Join(tr.spec.Dir, "tree")))
	}
}

// Who reaches none of those that have the description gets it from the origin.
func TestOriginDescribesToWhoHasNobodyElse(t *testing.T) {
	tor, path := makeTree(t, tree{"big": random(2<<20, 1)}, piece.BuildConfig{PieceLength: 16 << 10})
	o := newMachine(t, Config{Role: RoleOrigin})
	origin := add(t, o, Spec{Torrent: tor, Content: path})
	for range enoughDescribe {
		add(t, newMachine(t, Config{}), Spec{Torrent: tor, Dir: t.TempDir(), Peers: []string{o.addr}})
	}
	until(t, "peers with the description", func() bool { return origin.counts.describers.Load() >= enoughDescribe })
	alone := add(t, newMachine(t, Config{MaxPeers: 1}), magnet(tor, true, true, Spec{Dir: t.TempDir(), Peers: []string{o.addr}}))
	wait(t, alone, 30*time.Second)
	if n := described(t, origin); n == 0 {
		t.Error("it has it from somebody else")
	}
}

// A few are described to at a time, until they say that they have it; those who are no Shoal nodes always.
func TestFewAreDescribedToAtOnce(t *testing.T) {
	s := &session{t: new(Transfer), torrent: &piece.Torrent{Info: &piece.Info{Bytes: make([]byte, 100)}}, describing: make(map[*conn]time.Time)}
	now := time.Unix(1e9, 0)
	var conns []*conn
	may := func(n int, want int) {
		t.Helper()
		got := 0
		for _, c := range conns[:n] {
			if s.mayDescribe(c, now) {
				got++
			}
		}
		if got != want {
			t.Errorf("%d of %d are described to, want %d", got, n, want)
		}
	}
	for range 3 * describedAtOnce {
		conns = append(conns, &conn{shoal: true})
	}
	all := len(conns)
	may(all, describedAtOnce)
	may(all, describedAtOnce) // the same
	conns[0].gone = true
	conns[1].metadataSize, conns[1].theirMetadata = 100, 1
	conns = conns[2:]
	may(all-2, describedAtOnce)
	now = now.Add(describeTime + time.Second)
	may(all-2, 2*describedAtOnce) // those who had their time are in nobody's way, nor others in theirs
	conns = conns[describedAtOnce:]
	may(len(conns), describedAtOnce)
	if !s.mayDescribe(new(conn), now) {
		t.Error("one that is no Shoal node is turned down")
	}
	s.reveal = newRevealer(1, nil)
	s.describing = make(map[*conn]time.Time)
	s.t.counts.describers.Store(enoughDescribe)
	fresh := &conn{shoal: true, joined: now}
	if s.mayDescribe(fresh, now) {
		t.Error("an origin describes to one who has just come, though others could")
	}
	if !s.mayDescribe(fresh, now.Add(leftToOthers)) {
		t.Error("an origin never describes to one who has got it from nobody")
	}
}

// Peers that never answer do not keep the origin from being asked for the piece layers.
func TestLayersComeThoughPeersAreSilent(t *testing.T) {
	now := time.Unix(1e9, 0)
	s := &session{rnd: rand.New(rand.NewPCG(1, 2))}
	s.layers = layerState{begun: now, load: make(map[*conn]int), rest: make(map[*conn]time.Time)}
	origin := &conn{v2: true, introduced: true, role: RoleOrigin}
	silent := &conn{v2: true, introduced: true, shoal: true, theirMetadata: 1, metadataSize: 100}
	origin.have, silent.have = newBitset(1), newBitset(1)
	origin.have.fill()
	s.conns = []*conn{origin, silent}
	if got := s.layerers(now); len(got) != 1 || got[0] != silent {
		t.Errorf("%d are asked at first, want the peer alone", len(got))
	}
	s.layers.load[silent] = layerAsks
	if got := s.layerers(now); len(got) != 1 || got[0] != origin {
		t.Errorf("%d are asked while the peer is busy, want the origin alone", len(got))
	}
	s.layers.load[silent] = 1
	if got := s.layerers(now.Add(layerGrace)); len(got) != 2 {
		t.Errorf("%d are asked after a while, want both", len(got))
	}
}
