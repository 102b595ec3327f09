package dht

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// lan is a network in memory: what a node sends arrives at whoever has the address, if anybody has.
type lan struct {
	mu    sync.Mutex
	nodes map[netip.AddrPort]*Node
	stops map[*Node]func()
	addrs map[*Node]netip.AddrPort
	last  uint32
	// others get what is sent to addresses where no node is.
	others map[netip.AddrPort]func(b []byte, from netip.AddrPort)
}

// bubble runs a test in a network whose time passes as fast as nothing happens.
func bubble(t *testing.T, f func(t *testing.T, l *lan)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newLAN()) })
}

func newLAN() *lan {
	return &lan{nodes: make(map[netip.AddrPort]*Node), stops: make(map[*Node]func()), addrs: make(map[*Node]netip.AddrPort),
		others: make(map[netip.AddrPort]func([]byte, netip.AddrPort))}
}

func (l *lan) deliver(from, to netip.AddrPort, b []byte) {
	l.mu.Lock()
	n, other := l.nodes[to], l.others[to]
	l.mu.Unlock()
	if other != nil {
		other(b, from)
	}
	if n != nil {
		n.HandleUDP(b, from, func(answer []byte) { l.deliver(to, from, answer) })
	}
}

// address is the next free one: each node has its own machine.
func (l *lan) address() netip.AddrPort {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	ip := binary.BigEndian.AppendUint32(nil, 10<<24+l.last)
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip)), 7070)
}

// start runs a node until the test ends, or until it is killed.
func (l *lan) start(t *testing.T, cfg Config) *Node {
	return l.startAt(t, l.address(), cfg)
}

func (l *lan) startAt(t *testing.T, at netip.AddrPort, cfg Config) *Node {
	t.Helper()
	return l.startBoth(t, at, at, cfg)
}

// startBoth is startAt for a node with an address of each family.
func (l *lan) startBoth(t *testing.T, at, at6 netip.AddrPort, cfg Config) *Node {
	t.Helper()
	cfg.Send = func(b []byte, to netip.AddrPort) error {
		from := at
		if to.Addr().Is6() {
			from = at6
		}
		l.deliver(from, to, bytes.Clone(b))
		return nil
	}
	cfg.Port = 7070
	n := New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	stop := sync.OnceFunc(func() {
		l.mu.Lock()
		delete(l.nodes, at)
		delete(l.nodes, at6)
		l.mu.Unlock()
		cancel()
		<-done
	})
	l.mu.Lock()
	l.nodes[at], l.nodes[at6], l.stops[n], l.addrs[n] = n, n, stop, at
	l.mu.Unlock()
	go func() { defer close(done); n.Run(ctx) }()
	t.Cleanup(stop)
	return n
}

func (l *lan) kill(n *Node) { l.stops[n]() }

// network starts many nodes that know only the first.
func (l *lan) network(t *testing.T, many int, cfg Config) (nodes []*Node) {
	t.Helper()
	for i := range many {
		if i > 0 {
			cfg.Bootstrap = []string{l.addrs[nodes[0]].String()}
		}
		nodes = append(nodes, l.start(t, cfg))
	}
	return nodes
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestTwoHundredNodesFindEachOther(t *testing.T) {
	bubble(t, func(t *testing.T, l *lan) {
		nodes := l.network(t, 200, Config{})
		time.Sleep(2 * time.Minute)
		for i, n := range nodes {
			if s := n.Stats(); s.IPv4.Good < 40 {
				t.Errorf("node %d knows %d good nodes of 200, want 40 at least", i, s.IPv4.Good)
			}
		}
		// Each tenth node has a torrent of its own.
		hash := func(i int) ID { return ID{byte(i), 1, 2, 3} }
		for i := 0; i < 200; i += 10 {
			if got := nodes[i].Lookup(within(t, time.Minute), hash(i), 7070, nil); got != closest {
				t.Errorf("the announce of node %d was stored by %d nodes, want %d", i, got, closest)
			}
		}
		lookups := func(what string) {
			t.Helper()
			for i := 0; i < 200; i += 10 {
				n := nodes[i+5]
				if _, alive := l.nodes[l.addrs[n]]; !alive {
					continue
				}
				begin := time.Now()
				if got := find(t, n, hash(i)); !got[l.addrs[nodes[i]]] {
					t.Errorf("%s: node %d does not find the peer of torrent %d: %v", what, i+5, i, got)
				}
				if d := time.Since(begin); d > 10*time.Second {
					t.Errorf("%s: a look-up took %s", what, d)
				}
			}
		}
		lookups("all alive")
		killed := 0
		for i, n := range nodes {
			if i%10 == 1 || i%10 == 2 || i%10 == 3 {
				l.kill(n)
				killed++
			}
		}
		lookups(fmt.Sprintf("%d of 200 killed", killed))
	})
}

// find looks a torrent up and returns who was found.
func find(t *testing.T, n *Node, hash ID) map[netip.AddrPort]bool {
	t.Helper()
	var mu sync.Mutex
	got := make(map[netip.AddrPort]bool)
	n.Lookup(within(t, time.Minute), hash, 0, func(peers []netip.AddrPort) {
		mu.Lock()
		defer mu.Unlock()
		for _, p := range peers {
			got[p] = true
		}
	})
	return got
}

// all are the nodes in a table.
func (h *half) all(now time.Time) []contact {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.table.all(now)
}

// size is how many that are.
func (h *half) size() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.table.size
}
