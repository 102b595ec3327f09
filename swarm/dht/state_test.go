package dht

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A node that comes back needs nobody to begin with: it knows its own ID, and the others.
func TestStateOutlivesARun(t *testing.T) {
	bubble(t, func(t *testing.T, l *lan) {
		dir := t.TempDir()
		nodes := l.network(t, 20, Config{})
		first := l.start(t, Config{Dir: dir, Bootstrap: []string{l.addrs[nodes[0]].String()}})
		time.Sleep(time.Minute)
		id, size := first.nets[v4].id(), first.nets[v4].size()
		at := l.addrs[first]
		l.kill(first)
		l.kill(nodes[0]) // where it once began
		second := l.startAt(t, at, Config{Dir: dir})
		time.Sleep(10 * time.Second)
		if got := second.nets[v4].id(); got != id {
			t.Errorf("its ID is %s, was %s", got, id)
		}
		if got := second.nets[v4].size(); size < 10 || got < 10 {
			t.Errorf("it knows %d nodes, knew %d", got, size)
		}
		if hash := (ID{1}); second.Lookup(within(t, time.Minute), hash, 99, nil) != closest || len(find(t, nodes[3], hash)) != 1 {
			t.Error("it is not found")
		}
	})
}

func TestStateOfNoUse(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "no JSON": "nodes", "wrong types": `{"id4":7}`, "nonsense": `{"id4":"zz","nodes":[{"id":"00","address":"1.2.3.4:5"},{"id":"` + strings.Repeat("0", 40) + `","address":"0.0.0.0:0"}]}`,
		"long": `{"nodes":[` + strings.Repeat(`{"id":"x"},`, 200_000) + `]}`,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, stateFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		n := New(Config{Dir: dir})
		n.load()
		if got := len(*n.saved.Load()); got != 0 || n.nets[v4].id() == (ID{}) {
			t.Errorf("%s: %d nodes", name, got)
		}
	}
}

// FuzzState: whatever lies in the state directory, what is taken over can be spoken to.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"id4":"` + strings.Repeat("ab", 20) + `","nodes":[{"id":"` + strings.Repeat("cd", 20) + `","address":"1.2.3.4:5"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := New(Config{})
		n.take(b)
		for _, c := range *n.saved.Load() {
			if !reachable(c.addr) || c.addr.Addr().Is4In6() {
				t.Fatalf("%v", c)
			}
		}
	})
}

// IPv4 and IPv6 are two networks; who is in both tells of both (BEP 32).
func TestBothFamilies(t *testing.T) {
	bubble(t, func(t *testing.T, l *lan) {
		var six []*Node
		at := func(i int) netip.AddrPort { return netip.MustParseAddrPort(fmt.Sprintf("[fd00::%x]:7070", i+1)) }
		for i := range 20 {
			cfg := Config{IPv6: true}
			if i > 0 {
				cfg.Bootstrap = []string{at(0).String()}
			}
			six = append(six, l.startAt(t, at(i), cfg))
		}
		four := l.network(t, 20, Config{IPv4: true})
		// One node has both: it sends from the address of the family.
		b4, b6 := l.address(), at(1000)
		both := l.startBoth(t, b4, b6, Config{Bootstrap: []string{l.addrs[four[0]].String(), at(0).String()}})
		time.Sleep(time.Minute)
		hash := ID{8}
		if got := both.Lookup(within(t, time.Minute), hash, 99, nil); got != 2*closest {
			t.Errorf("its announce is stored by %d nodes, want %d in each network", got, closest)
		}
		if got := find(t, four[7], hash); !got[netip.AddrPortFrom(b4.Addr(), 99)] || len(got) != 1 {
			t.Errorf("over IPv4 %v", got)
		}
		if got := find(t, six[7], hash); !got[netip.AddrPortFrom(b6.Addr(), 99)] || len(got) != 1 {
			t.Errorf("over IPv6 %v", got)
		}
		s := l.stranger(nil)
		for _, c := range []struct {
			want4, want6, has4, has6 bool
		}{{false, false, true, false}, {true, false, true, false}, {false, true, false, true}, {true, true, true, true}} {
			a := s.ask(both, &message{method: qFind, id: known(1), target: known(2), want4: c.want4, want6: c.want6})
			if a == nil || (len(a.nodes) > 0) != c.has4 || (len(a.nodes6) > 0) != c.has6 {
				t.Errorf("%+v: %+v", c, a)
			}
		}
	})
}
