package dht

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// stranger is who sends what he likes from an address of his own, and sees what comes to it.
type stranger struct {
	l    *lan
	at   netip.AddrPort
	mu   sync.Mutex
	came []*message
}

// stranger takes an address. Whatever a node sends there is kept; a query is answered as respond says, if it is not nil.
func (l *lan) stranger(respond func(q *message) *message) *stranger {
	s := &stranger{l: l, at: l.address()}
	l.mu.Lock()
	l.others[s.at] = func(b []byte, from netip.AddrPort) {
		m, err := parse(bytes.Clone(b))
		if err != nil {
			panic(err) // our own nodes send sense
		}
		s.mu.Lock()
		s.came = append(s.came, m)
		s.mu.Unlock()
		if respond == nil || m.kind != 'q' {
			return
		}
		if a := respond(m); a != nil {
			a.tid = m.tid
			l.deliver(s.at, from, a.append(nil))
		}
	}
	l.mu.Unlock()
	return s
}

// send sends a datagram to a node.
func (s *stranger) send(to *Node, b []byte) { s.l.deliver(s.at, s.l.addrs[to], b) }

// ask sends a query and returns its answer; nil: none came. It must run in a bubble, where waiting costs no time.
func (s *stranger) ask(to *Node, m *message) *message {
	m.kind, m.tid = 'q', binary.BigEndian.AppendUint32(nil, uint32(len(s.answers())))
	s.send(to, m.append(nil))
	time.Sleep(100 * time.Millisecond)
	for _, a := range s.answers() {
		if a.kind != 'q' && bytes.Equal(a.tid, m.tid) {
			return a
		}
	}
	return nil
}

func (s *stranger) answers() []*message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.came)
}

func known(id byte) *ID { return &ID{id, 1, 2, 3} }

// Each of these has crashed anacrolix/dht, which the design wanted wrapped: the two without "a", the one whose "ip" is shorter than a port, and the one
// with an empty peer. The rest make its answers wrong or its memory grow. Ours must shrug, and go on to answer.
func TestDatagramsThatCrashOthers(t *testing.T) {
	bubble(t, func(t *testing.T, l *lan) {
		n := l.start(t, Config{})
		s := l.stranger(nil)
		for _, b := range seeds {
			s.send(n, []byte(b))
		}
		for _, b := range []string{
			"d1:q9:get_peers1:t2:aa1:y1:qe", "d1:q9:find_node1:t2:aa1:y1:qe", "d1:q3:get1:t2:aa1:y1:qe", "d1:ade1:q3:put1:t2:aa1:y1:qe",
			"d1:ad2:id20:aaaaaaaaaaaaaaaaaaaa4:porti99999ee1:q13:announce_peer1:t2:aa1:y1:qe", "d2:ip0:1:t2:aa1:y1:re", "d2:ip1:x1:q4:ping1:t2:aa1:y1:qe",
			"d1:ad2:id20:aaaaaaaaaaaaaaaaaaaae1:q32:" + strings.Repeat("z", 32) + "1:t2:aa1:y1:qe",
			strings.Repeat("d1:a", 500), strings.Repeat("l", 2000), "d1:rd2:id20:aaaaaaaaaaaaaaaaaaaa5:token0:e1:t0:1:y1:re",
		} {
			s.send(n, []byte(b))
		}
		time.Sleep(time.Second)
		if a := s.ask(n, &message{method: qPing, id: known(1)}); a == nil || a.kind != 'r' {
			t.Errorf("after all that a ping is answered by %+v", a)
		}
	})
}

// FuzzHandleUDP: whatever a stranger sends, in whatever order, a node sends nothing but sense, nothing that is too long for the Internet, and nobody gets into its
// table who has not answered it.
func FuzzHandleUDP(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s), uint8(1))
	}
	f.Fuzz(func(t *testing.T, b []byte, from uint8) {
		var sent [][]byte
		n := New(Config{Send: func(b []byte, _ netip.AddrPort) error { return nil }, IPv4: true})
		check := func(b []byte) { sent = append(sent, bytes.Clone(b)) }
		n.HandleUDP(b, node(int(from)), check)
		for len(n.queue) > 0 {
			q := <-n.queue
			if a := n.answer(q.m, q.from, time.Now()); a != nil {
				q.reply(a.append(nil))
			}
		}
		for _, b := range sent {
			if _, err := parse(b); err != nil || len(b) > 1400 {
				t.Fatalf("%d bytes, %v: %q", len(b), err, b)
			}
		}
		if n.nets[v4].size() != 0 {
			t.Fatal("a stranger is in the table")
		}
	})
}

// find_node looks for "target", not for "info_hash"; the library's node looked for the latter, which is zero there.
func TestFindNodeFindsItsTarget(t *testing.T) {
	bubble(t, func(t *testing.T, l *lan) {
		nodes := l.network(t, 40, Config{})
		time.Sleep(time.Minute)
		s := l.stranger(nil)
		target := nodes[0].nets[v4].all(time.Now())[0].id // one that it knows; of 40 nodes it need not know any
		a := s.ask(nodes[0], &message{method: qFind, id: known(1), target: &target})
		if a == nil || len(a.nodes) != closest || a.nodes[0].id != target {
			t.Errorf("the answer is %+v, want the target first", a)
		}
	})
}

// Peers are named as they announced themselves: at the port in the announce, which is TCP's, not at that of the datagram; and by tokens of their own.
func TestAnnouncedPortIsNamed(t *testing.T) {
	bubble(t, func(t *testing.T, l *lan) {
		n := l.start(t, Config{})
		s, other := l.stranger(nil), l.stranger(nil)
		hash := &ID{9}
		a := s.ask(n, &message{method: qGetPeers, id: known(1), infoHash: hash})
		if a == nil || len(a.token) == 0 || len(a.values) != 0 {
			t.Fatalf("%+v", a)
		}
		for _, c := range []struct {
			who  *stranger
			m    message
			want byte
		}{
			{s, message{token: a.token, port: 51413}, 'r'},
			{s, message{token: []byte("wrong"), port: 1}, 'e'},
			{other, message{token: a.token, port: 1}, 'e'}, // another's token
			{s, message{token: a.token}, 'e'},
			{s, message{token: a.token, port: 65536}, 'e'},
			{s, message{token: a.token, impliedPort: true, port: 7}, 'r'},
		} {
			c.m.method, c.m.id, c.m.infoHash = qAnnounce, known(1), hash
			if got := c.who.ask(n, &c.m); got == nil || got.kind != c.want {
				t.Errorf("an announce with %+v got %+v", c.m, got)
			}
		}
		a = other.ask(n, &message{method: qGetPeers, id: known(2), infoHash: hash})
		want := []netip.AddrPort{netip.AddrPortFrom(s.at.Addr(), 51413), s.at}
		slices.SortFunc(a.values, netip.AddrPort.Compare)
		slices.SortFunc(want, netip.AddrPort.Compare)
		if !slices.Equal(a.values, want) {
			t.Errorf("named are %v, want %v", a.values, want)
		}
	})
}

func TestPeerStoreIsBounded(t *testing.T) {
	var s peerStore
	self, now := ID{}, time.Now()
	one := ID{0xff}
	for i := range 10_000 {
		s.add(self, one, netip.AddrPortFrom(node(1).Addr(), uint16(i+1)), now)
	}
	if got := len(s.peers(one, false, 1000, now)); got != maxPortsOfOneIP {
		t.Errorf("one address has %d peers of one torrent, want %d", got, maxPortsOfOneIP)
	}
	for i := range 10_000 {
		s.add(self, one, node(i), now)
	}
	if got := len(s.peers(one, false, 10_000, now)); got != maxPeersOfHash {
		t.Errorf("%d peers of one torrent", got)
	}
	for i := range 10 * maxHashes { // whoever fills it with what is far from us
		s.add(self, ID{0xf0, byte(i >> 8), byte(i)}, node(i), now)
	}
	near := ID{0, 1}
	s.add(self, near, node(5), now)
	if h, p := s.count(); h > maxHashes || p > maxPeersInAll {
		t.Errorf("%d peers of %d torrents", p, h)
	}
	if got := s.peers(near, false, 10, now); len(got) != 1 {
		t.Error("what is ours to keep did not find room")
	}
	if got := s.peers(near, true, 10, now); len(got) != 0 {
		t.Errorf("%v over IPv6", got)
	}
	if got := s.peers(near, false, 10, now.Add(peerTime)); len(got) != 0 {
		t.Errorf("%v after %s", got, peerTime)
	}
	s.expire(now.Add(peerTime))
	if h, p := s.count(); h != 0 || p != 0 {
		t.Errorf("%d peers of %d torrents after all have expired", p, h)
	}
}

// A flood of one source is cut; another is answered meanwhile, and so are answers to our own questions.
func TestFloodOfQueries(t *testing.T) {
	bubble(t, func(t *testing.T, l *lan) {
		n := l.start(t, Config{})
		s, other := l.stranger(nil), l.stranger(nil)
		q := (&message{kind: 'q', tid: []byte("xx"), method: qPing, id: known(1)}).append(nil)
		for range 20 {
			for range 500 {
				s.send(n, q)
			}
			time.Sleep(50 * time.Millisecond)
		}
		// One more is our own question, whether it lives: who asks often is not asked often.
		if got := len(s.answers()); got < queryBurst || got > queryBurst+queriesPerSec+1 {
			t.Errorf("%d of 10,000 queries in a second were answered, want about %d", got, queryBurst+queriesPerSec)
		}
		if other.ask(n, &message{method: qPing, id: known(2)}) == nil {
			t.Error("another source is not answered")
		}
	})
}

// Each node has limits of its own: the library's nodes shared one, so that many in a process starved each other.
func TestLimitsAreTheNodesOwn(t *testing.T) {
	a, b := New(Config{}), New(Config{})
	a.asking.AllowN(time.Now(), askBurst)
	if a.asking == b.asking || !b.asking.AllowN(time.Now(), askBurst) {
		t.Error("two nodes share a limit")
	}
}

// An answer counts only from who was asked and with the number that he was told; and a node that answers is not one that we know until then.
func TestForgedAnswers(t *testing.T) {
	bubble(t, func(t *testing.T, l *lan) {
		n := l.start(t, Config{})
		liar := l.stranger(nil)
		honest := l.stranger(func(*message) *message { return &message{kind: 'r', id: known(7)} })
		n.Meet(honest.at)
		for i := range 1000 {
			liar.send(n, (&message{kind: 'r', tid: binary.BigEndian.AppendUint32(nil, uint32(i)), id: known(9)}).append(nil))
		}
		time.Sleep(time.Second)
		if got := n.nets[v4].all(time.Now()); !slices.Equal(got, []contact{{*known(7), honest.at}}) {
			t.Errorf("the table has %v, want the one who was asked", got)
		}
		// A query alone does not make a node known, but it is asked in its turn.
		liar.send(n, (&message{kind: 'q', tid: []byte("1"), method: qPing, id: known(9)}).append(nil))
		time.Sleep(time.Second)
		if got := n.nets[v4].size(); got != 1 {
			t.Errorf("%d nodes after a query", got)
		}
		if got := liar.answers(); !slices.ContainsFunc(got, func(m *message) bool { return m.method == qPing }) {
			t.Error("who has asked is not asked")
		}
	})
}

// Nobody on the Internet can have us send to machines of our own networks, nor name such as peers; and a private node stays among private addresses.
func TestWhoMayNameWhom(t *testing.T) {
	pub, priv, other := public(1), node(1), node(2)
	open := New(Config{IPv4: true})
	closed := New(Config{IPv4: true, Private: true})
	for _, c := range []struct {
		n           *Node
		from, named netip.AddrPort
		want        bool
	}{
		{open, pub, public(9), true}, {open, pub, priv, false}, {open, priv, other, true}, {open, priv, pub, true},
		{closed, priv, other, true}, {closed, priv, pub, false}, {open, pub, netip.MustParseAddrPort("[2600::1]:1"), false},
	} {
		if got := c.n.believes(c.from, c.named); got != c.want {
			t.Errorf("%v names %v: %v (private %v)", c.from, c.named, got, c.n.cfg.Private)
		}
	}
	sent := 0
	closed.cfg.Send = func([]byte, netip.AddrPort) error { sent++; return nil }
	closed.HandleUDP([]byte(seeds[0]), pub, func([]byte) { sent++ })
	closed.Meet(pub)
	if len(closed.queue) != 0 || len(closed.pings) != 0 || sent != 0 {
		t.Error("a private node deals with a public address")
	}
}

// A node that floods a walk with nodes that do not exist costs it no more than its bounds.
func TestWalkAmongLiars(t *testing.T) {
	bubble(t, func(t *testing.T, l *lan) {
		n := l.start(t, Config{})
		invented := 1 << 16
		liar := l.stranger(func(q *message) *message {
			target := q.target
			if target == nil {
				target = q.infoHash
			}
			a := &message{kind: 'r', id: known(1)}
			for range maxNodes { // each closer than the last
				invented++
				if target != nil {
					a.nodes = append(a.nodes, contact{randomNear(*target, 120), node(invented)})
				}
			}
			return a
		})
		n.bootstrap.Store(&[]netip.AddrPort{liar.at})
		begin := time.Now()
		got := find(t, n, ID{5})
		if d := time.Since(begin); d > 30*time.Second || len(got) != 0 {
			t.Errorf("%v in %s", got, d)
		}
	})
}

// An answer to a get that lacks its number crashed the library; ours takes what is whole and right, and nothing else.
func TestItemsOfLiars(t *testing.T) {
	pub, key, _ := ed25519.GenerateKey(nil)
	_, stolen, _ := ed25519.GenerateKey(nil)
	good := Sign(key, []byte("salt"), 7, []byte("5:hello"))
	forged := Sign(stolen, []byte("salt"), 9, []byte("4:evil"))
	answer := func(i Item) *message { return &message{key: i.Key, sig: i.Signature, seq: &i.Seq, v: i.Value} }
	for name, c := range map[string]struct {
		m    *message
		want bool
	}{
		"right":          {answer(good), true},
		"no number":      {&message{key: good.Key, sig: good.Signature, v: good.Value}, false},
		"no value":       {&message{key: good.Key, sig: good.Signature, seq: &good.Seq}, false},
		"no signature":   {&message{key: good.Key, seq: &good.Seq, v: good.Value}, false},
		"another key":    {answer(forged), false},
		"forged":         {&message{key: good.Key, sig: forged.Signature, seq: &forged.Seq, v: forged.Value}, false},
		"another number": {&message{key: good.Key, sig: good.Signature, seq: new(int64), v: good.Value}, false},
		"nothing":        {&message{}, false},
	} {
		var best newest
		best.hear(pub, []byte("salt"), c.m)
		if got := best.item != nil; got != c.want {
			t.Errorf("%s: taken %v", name, got)
		}
	}
	bubble(t, func(t *testing.T, l *lan) {
		n := l.start(t, Config{})
		i := 0
		liar := l.stranger(func(q *message) *message {
			i++
			a := &message{kind: 'r', id: known(1), token: []byte("t"), key: good.Key, sig: good.Signature, v: good.Value}
			if i%2 == 0 {
				a.key, a.seq = nil, &good.Seq // a right one without its key would do: we know which we asked for
				a.v = []byte("4:evil")
			}
			return a
		})
		n.bootstrap.Store(&[]netip.AddrPort{liar.at})
		if i, err := n.GetMutable(within(t, time.Minute), pub, []byte("salt")); err != ErrNotFound {
			t.Errorf("%+v, %v", i, err)
		}
		if v, err := n.Get(within(t, time.Minute), ImmutableTarget([]byte("5:hullo"))); err != ErrNotFound {
			t.Errorf("%q, %v", v, err)
		}
	})
}

// Read-only nodes (BEP 43) say so, do not answer, and are in nobody's table.
func TestReadOnly(t *testing.T) {
	bubble(t, func(t *testing.T, l *lan) {
		nodes := l.network(t, 10, Config{})
		leaf := l.start(t, Config{ReadOnly: true, Bootstrap: []string{l.addrs[nodes[0]].String()}})
		time.Sleep(time.Minute)
		for i, n := range nodes {
			for _, c := range n.nets[v4].all(time.Now()) {
				if c.addr == l.addrs[leaf] {
					t.Errorf("node %d knows the leaf", i)
				}
			}
		}
		s := l.stranger(nil)
		if a := s.ask(leaf, &message{method: qPing, id: known(1)}); a != nil {
			t.Errorf("it answers %+v", a)
		}
		hash := ID{3}
		if got := leaf.Lookup(within(t, time.Minute), hash, 99, nil); got != closest {
			t.Errorf("its announce was stored by %d nodes", got)
		}
		if got := find(t, nodes[4], hash); !got[netip.AddrPortFrom(l.addrs[leaf].Addr(), 99)] {
			t.Errorf("%v found", got)
		}
		if s := leaf.Stats(); !s.ReadOnly || s.IPv4.Nodes == 0 || leaf.Port() != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// A node that others see at an address that is not its own is behind a translator.
func TestBehindATranslator(t *testing.T) {
	bubble(t, func(t *testing.T, l *lan) {
		seen := netip.MustParseAddrPort("8.8.4.4:7070")
		n := l.start(t, Config{Own: func(netip.Addr) bool { return false }})
		before := n.nets[v4].id()
		for i := range quorum {
			at := public(1 << 8 * (i + 1))
			id := secureID(at.Addr())
			l.mu.Lock()
			l.others[at] = func(b []byte, from netip.AddrPort) {
				q, _ := parse(bytes.Clone(b))
				l.deliver(at, from, (&message{kind: 'r', tid: q.tid, id: &id, ip: seen}).append(nil))
			}
			l.mu.Unlock()
			n.Meet(at)
		}
		time.Sleep(time.Second)
		s := n.Stats()
		if id := n.nets[v4].id(); !s.ReadOnly || s.IPv4.ExternalIP != "8.8.4.4" || id == before || !isSecure(id, seen.Addr()) {
			t.Errorf("%+v", s.IPv4)
		}
		if s.IPv4.Nodes != quorum {
			t.Errorf("%d nodes after the change of our ID", s.IPv4.Nodes)
		}
	})
}

// What a node does not know of, but of a torrent that it takes part in, it names itself for.
func TestNodeNamesItself(t *testing.T) {
	bubble(t, func(t *testing.T, l *lan) {
		self := l.address()
		n := l.startAt(t, self, Config{Local: func(netip.Addr) netip.Addr { return self.Addr() }})
		hash := [20]byte{4}
		stop := n.Find(job99(hash, nil))
		s := l.stranger(nil)
		want := []netip.AddrPort{netip.AddrPortFrom(self.Addr(), 7070)}
		if a := s.ask(n, &message{method: qGetPeers, id: known(1), infoHash: (*ID)(&hash)}); a == nil || !slices.Equal(a.values, want) {
			t.Errorf("%+v, want itself", a)
		}
		stop()
		if a := s.ask(n, &message{method: qGetPeers, id: known(1), infoHash: (*ID)(&hash)}); a == nil || len(a.values) != 0 {
			t.Errorf("%+v after it has left", a)
		}
	})
}

func job99(hash [20]byte, found func([]netip.AddrPort)) Job {
	if found == nil {
		found = func([]netip.AddrPort) {}
	}
	return Job{Hashes: func() [][20]byte { return [][20]byte{hash} }, State: func() State { return State{Seed: true} }, Port: func() int { return 99 }, Found: found}
}
