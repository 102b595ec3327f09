package sim

import (
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"
)

// content is shared by the tests: describing it takes longer than most runs.
var content = sync.OnceValue(func() *Content {
	c, err := NewContent(8<<20, 64<<10)
	if err != nil {
		panic(err)
	}
	return c
})

// simulate runs a scenario about the tests' content.
func simulate(t *testing.T, s Scenario, seed uint64) Result {
	t.Helper()
	s.Size, s.PieceLength = 8<<20, 64<<10
	x, err := Run(s, content(), seed)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// crowd is n machines with uplinks like the origin's.
func crowd(n int) Scenario {
	return Scenario{Latency: time.Millisecond, Hosts: []Host{{Up: 20e6, Origin: true}, {Count: n, Up: 20e6, Down: 100e6}}}
}

// One machine fetches at the link's rate, headers charged, once both have found each other.
func TestOneToOneTakesTheCalculatedTime(t *testing.T) {
	for _, mbit := range []float64{2, 20, 200} {
		s := Scenario{Latency: 5 * time.Millisecond, Hosts: []Host{{Up: mbit * 1e6, Origin: true}, {Down: 1e9, Up: 1e9}}}
		x := simulate(t, s, 1)
		wire := float64(wireBytes(8<<20)) * 8 / (mbit * 1e6)
		least, most := wire+0.1, wire*1.01+0.6
		if got := x.Makespan.Seconds(); got < least || got > most {
			t.Errorf("at %v Mbit/s 8 MiB took %.3f s, want %.3f to %.3f", mbit, got, least, most)
		}
		if x.Copies != 1 || x.Wasted != 0 {
			t.Errorf("at %v Mbit/s the origin sent %v copies, %v was wasted", mbit, x.Copies, x.Wasted)
		}
	}
}

// Two flows that share a link get about half of it each, and the link is full.
func TestFlowsShareALink(t *testing.T) {
	s := Scenario{Latency: 5 * time.Millisecond, Hosts: []Host{{Up: 20e6, Seed: true}, {Count: 2, Down: 100e6, Up: 100e6, NAT: true}}}
	x := simulate(t, s, 1)
	both := 2 * float64(wireBytes(8<<20)) * 8 / 20e6
	if got := x.Makespan.Seconds(); got < both || got > both*1.2+0.6 {
		t.Errorf("two copies over one link took %.3f s, want about %.3f", got, both)
	}
}

func TestBytesAreConserved(t *testing.T) {
	s := crowd(6)
	s.Hosts[1].Over, s.Hosts[1].Vanish = 5*time.Second, 0.3
	for seed := range uint64(5) {
		x := simulate(t, s, seed)
		var sent, received, up, given, taken int64
		for _, m := range x.Machines {
			sent += m.sent
			received += m.received
			if m.up != nil {
				up += m.up.bytes
			}
			if m.node != nil {
				st := m.node.Stats()
				for i := range st.To {
					given += st.To[i]
					taken += st.From[i]
				}
				taken += st.Wasted
			}
		}
		if received > sent || sent > up {
			t.Errorf("seed %d: %d bytes received, %d sent, %d on the uplinks", seed, received, sent, up)
		}
		if taken > given {
			t.Errorf("seed %d: machines took %d bytes of content, and gave %d", seed, taken, given)
		}
		for _, m := range x.Machines {
			if m.Finished > 0 && m.received < 8<<20 {
				t.Errorf("seed %d: machine %d has everything and received %d bytes", seed, m.Index, m.received)
			}
		}
	}
}

// The same seed gives the same result to the byte; another one another.
func TestSameSeedSameResult(t *testing.T) {
	s := crowd(8)
	s.Hosts[1].Over, s.Hosts[1].Vanish = 5*time.Second, 0.2
	s.Hosts = append(s.Hosts, Host{Up: 20e6, Down: 100e6, Liar: true}, Host{Count: 3, Up: 50e6, Down: 50e6, Site: "a"}, Host{Count: 3, Up: 50e6, Down: 50e6, Site: "b"})
	s.Sites = map[string]Pipe{"a": {20e6, 20e6}, "b": {20e6, 20e6}}
	tell := func(seed uint64) (Result, string) {
		x := simulate(t, s, seed)
		d := x.Details()
		x.Machines = nil
		return x, d
	}
	a, da := tell(1)
	b, db := tell(1)
	c, _ := tell(2)
	if !reflect.DeepEqual(a, b) || da != db {
		t.Errorf("the same seed gave\n%+v\n%s\nand\n%+v\n%s", a, da, b, db)
	}
	if a.Events == c.Events {
		t.Errorf("another seed gave the same: %+v", a)
	}
}

// Who goes without a word leaves requests behind that nobody answers, and its site left to it what it has. Others
// are asked within seconds, not when connections end after half a minute.
func TestSitesLoseMachines(t *testing.T) {
	s := Scenario{Name: "sites", Size: 16 << 20, PieceLength: 64 << 10, Sites: map[string]Pipe{}, Hosts: []Host{{Up: 20e6, Origin: true}}}
	for _, name := range []string{"a", "b"} {
		s.Sites[name] = Pipe{20e6, 20e6}
		s.Hosts = append(s.Hosts, Host{Count: 6, Up: 200e6, Down: 200e6, Site: name, Vanish: 0.34})
	}
	var slow int
	for seed := range uint64(8) {
		x := simulate(t, s, seed)
		if x.Hung > 0 {
			t.Errorf("seed %d: %d machines have not finished", seed, x.Hung)
		}
		if x.Slowest > 2*s.Least() {
			slow++
		}
	}
	if slow > 0 {
		t.Errorf("in %d of 8 runs a machine took more than twice as long as any could: the last to go does so before that", slow)
	}
}

// When the only one that has everything goes early, no survivor can finish, and none hangs: what they lack is with nobody.
// Where one that has it stays, but cannot be reached by some, these lack what they could never have.
func TestLostIsNotHung(t *testing.T) {
	s := crowd(4)
	s.Hosts[0].DieCopies, s.Limit = 0.5, 2*time.Minute
	if x := simulate(t, s, 1); x.Lost != 4 || x.Hung != 0 || x.Finished != 0 {
		t.Errorf("after half a copy: %d finished, %d lost, %d hung; want 4 lost", x.Finished, x.Lost, x.Hung)
	}
	s.Hosts[1].NAT, s.Limit = true, 30*time.Second
	s.Hosts = append(s.Hosts, Host{Up: 20e6, Seed: true, NAT: true})
	if x := simulate(t, s, 1); x.Lost != 4 || x.Hung != 0 {
		t.Errorf("with a seed that none can reach: %d lost, %d hung; want 4 lost", x.Lost, x.Hung)
	}
	s = crowd(4)
	s.Limit = time.Second
	if x := simulate(t, s, 1); x.Lost != 0 || x.Hung != 4 {
		t.Errorf("with the origin there when time is over: %d lost, %d hung; want 4 hung", x.Lost, x.Hung)
	}
}

func TestNothingBadIsKept(t *testing.T) {
	s := crowd(6)
	s.Hosts = append(s.Hosts, Host{Up: 100e6, Down: 100e6, Liar: true})
	x := simulate(t, s, 1)
	if x.Bad != 0 || x.Finished != 6 {
		t.Errorf("beside a liar %d of 6 have everything, %d wrong blocks count as verified", x.Finished, x.Bad)
	}
	if x.Wasted == 0 {
		t.Error("nobody took anything from the liar: he proves nothing")
	}
}

func TestBound(t *testing.T) {
	const size = 64 << 20
	sites := Scenario{Size: size, Hosts: []Host{{Up: 20e6, Origin: true}}, Sites: map[string]Pipe{}}
	for i := range 4 {
		name := fmt.Sprint(i)
		sites.Sites[name] = Pipe{20e6, 20e6}
		sites.Hosts = append(sites.Hosts, Host{Count: 6, Up: 200e6, Down: 200e6, Site: name})
	}
	fast := crowd(16)
	fast.Hosts[0].Up, fast.Size = 200e6, size
	budget := fast
	budget.Hosts = []Host{fast.Hosts[0], fast.Hosts[1]}
	budget.Hosts[0].Copies = 1.1
	slow := crowd(16)
	slow.Size = size
	for _, tt := range []struct {
		name string
		s    Scenario
		want float64 // seconds
	}{
		{"origin", slow, 26.84},
		{"all uplinks", fast, 16.52},
		{"budget", budget, 25.0},
		{"sites", sites, 26.84},
	} {
		if got := tt.s.Least().Seconds(); got < tt.want-0.01 || got > tt.want+0.01 {
			t.Errorf("%s: bound %.3f s, want %.2f", tt.name, got, tt.want)
		}
	}
}

// Of a crowd the first few have the description from the origin, and all others from peers.
func TestDescriptionSpreads(t *testing.T) {
	x := simulate(t, crowd(30), 1)
	whole := 0
	for _, m := range x.Machines {
		if !m.Origin && !m.Referred {
			whole++
		}
	}
	if whole == 0 || whole > 5 || x.Hung > 0 || x.Finished != 30 {
		t.Errorf("the origin has told %d of 30 machines all; %d finished, %d hang", whole, x.Finished, x.Hung)
	}
}
