package swarm

import (
	"bytes"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"shoal/piece"
	"shoal/swarm/dht"
	"shoal/swarm/wire"
)

// fakeFinder is a DHT that knows of peers at once.
type fakeFinder struct {
	mu      sync.Mutex
	port    int
	peers   []netip.AddrPort
	jobs    []dht.Job
	stopped int
	met     []netip.AddrPort
}

func (f *fakeFinder) Find(j dht.Job) (stop func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.jobs = append(f.jobs, j)
	go j.Found(f.peers)
	return sync.OnceFunc(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.stopped++
	})
}

func (f *fakeFinder) Meet(a netip.AddrPort) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.met = append(f.met, a)
}

func (f *fakeFinder) Port() int { return f.port }

func (f *fakeFinder) counts() (jobs, stopped, met int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.jobs), f.stopped, len(f.met)
}

// A peer that only the DHT knows of is dialled, and both tell each other where their nodes are.
func TestPeersFromTheDHT(t *testing.T) {
	t.Parallel()
	tor, path, want := makeContent(t, 1<<20, piece.BuildConfig{})
	theirs := &fakeFinder{port: 1111}
	seed := newMachine(t, Config{Finder: theirs})
	given := add(t, seed, Spec{Torrent: tor, Content: path})
	ours := &fakeFinder{port: 2222, peers: []netip.AddrPort{netip.MustParseAddrPort(seed.addr)}}
	m := newMachine(t, Config{Finder: ours})
	dir := t.TempDir()
	tr := add(t, m, magnet(tor, false, true, Spec{Dir: dir}))
	wait(t, tr, 30*time.Second)
	sameFile(t, filepath.Join(dir, "release.bin"), want)
	until(t, "both have met", func() bool {
		_, _, a := ours.counts()
		_, _, b := theirs.counts()
		return a == 1 && b == 1
	})
	if a := netip.MustParseAddrPort("127.0.0.1:1111"); ours.met[0] != a {
		t.Errorf("met %v, want %v", ours.met[0], a)
	}
	if got := len(ours.jobs[0].Hashes()); got != 3 { // v1, v2, and what aria2 takes it for: the metadata has told
		t.Errorf("%d names are looked for, want all three", got)
	}
	if st, sst := ours.jobs[0].State(), theirs.jobs[0].State(); !st.Seed || st.Hungry || !sst.Seed {
		t.Errorf("when all is here: %+v and %+v", st, sst)
	}
	if got := theirs.jobs[0].Port(); got != seed.cfg.Port {
		t.Errorf("port %d is announced, want that of TCP, %d", got, seed.cfg.Port)
	}
	tr.Close()
	given.Close()
	for _, f := range []*fakeFinder{ours, theirs} {
		if jobs, stopped, _ := f.counts(); jobs != 1 || stopped != 1 {
			t.Errorf("%d jobs, %d of them stopped", jobs, stopped)
		}
	}
}

// Private torrents never touch the DHT: not by a look-up, not by the handshake, not by what a peer says.
func TestPrivateTorrentsStayOutOfTheDHT(t *testing.T) {
	t.Parallel()
	tor, path, _ := makeContent(t, 1<<20, piece.BuildConfig{Private: true})
	f := &fakeFinder{port: 1111}
	m := newMachine(t, Config{Finder: f})
	add(t, m, Spec{Torrent: tor, Content: path})
	nc, err := net.Dial("tcp", m.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	nc.Write(wire.Handshake{Fast: true, Extended: true, DHT: true, InfoHash: tor.V1, PeerID: [20]byte{1}}.Append(nil))
	nc.Write(wire.AppendPort(nil, 3333))
	h, err := wire.ReadHandshake(nc)
	if err != nil {
		t.Fatal(err)
	}
	if h.DHT {
		t.Error("the handshake says that we are in the DHT")
	}
	nc.Write(wire.AppendPlain(nil, wire.Interested))
	r := wire.NewReader(nc)
	for m := (wire.Message{}); m.Type != wire.Unchoke; { // comes after anything about the DHT would have
		if err := r.Next(&m); err != nil {
			t.Fatal(err)
		}
		if m.Type == wire.Port {
			t.Error("it tells where its node is")
		}
	}
	if jobs, _, met := f.counts(); jobs != 0 || met != 0 {
		t.Errorf("%d look-ups, %d nodes met", jobs, met)
	}
}

// A magnet link cannot say that its torrent is private: it is left as soon as that is known.
func TestMagnetThatTurnsOutPrivate(t *testing.T) {
	t.Parallel()
	tor, path, _ := makeContent(t, 1<<20, piece.BuildConfig{Private: true})
	o := seed(t, Spec{Torrent: tor, Content: path})
	f := new(fakeFinder)
	m := newMachine(t, Config{Finder: f})
	tr := add(t, m, magnet(tor, true, true, Spec{Dir: t.TempDir(), Peers: []string{o.addr}}))
	wait(t, tr, 30*time.Second)
	if jobs, stopped, _ := f.counts(); jobs != 1 || stopped != 1 {
		t.Errorf("%d look-ups, %d of them stopped", jobs, stopped)
	}
}

// With peers off nothing is looked for; and PORT is told to those only who have said that they are in the DHT.
func TestWhoIsToldOfOurNode(t *testing.T) {
	t.Parallel()
	tor, path, _ := makeContent(t, 1<<20, piece.BuildConfig{})
	f := &fakeFinder{port: 1111}
	off := newMachine(t, Config{Finder: f, Upload: UploadOff})
	add(t, off, Spec{Torrent: tor, Content: path})
	if jobs, _, _ := f.counts(); jobs != 0 || off.Finds() {
		t.Error("with peers off the DHT is asked")
	}
	m := newMachine(t, Config{Finder: f})
	add(t, m, Spec{Torrent: tor, Content: path})
	for _, in := range []bool{true, false} {
		nc, err := net.Dial("tcp", m.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(20 * time.Second))
		id := [20]byte{1}
		if in {
			id[0] = 2
		}
		nc.Write(wire.Handshake{Fast: true, Extended: true, DHT: in, InfoHash: tor.V1, PeerID: id}.Append(nil))
		nc.Write(wire.AppendPlain(nil, wire.Interested))
		if h, err := wire.ReadHandshake(nc); err != nil || !h.DHT {
			t.Fatalf("%+v, %v", h, err)
		}
		told := false
		r := wire.NewReader(nc)
		for m := (wire.Message{}); m.Type != wire.Unchoke; {
			if err := r.Next(&m); err != nil {
				t.Fatal(err)
			}
			told = told || m.Type == wire.Port && m.Index == 1111
		}
		if told != in {
			t.Errorf("in the DHT %v: told %v", in, told)
		}
	}
}

func TestPortMessage(t *testing.T) {
	b := wire.AppendPort(nil, 6881)
	if want := []byte{0, 0, 0, 3, 9, 0x1a, 0xe1}; !bytes.Equal(b, want) { // BEP 5
		t.Errorf("% x, want % x", b, want)
	}
	var m wire.Message
	if err := wire.NewReader(bytes.NewReader(b)).Next(&m); err != nil || m.Type != wire.Port || m.Index != 6881 {
		t.Errorf("%+v, %v", m, err)
	}
}
