package sim

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"shoal/piece"
	"shoal/swarm"
)

// Content is what a swarm is about: a torrent, and its leaves.
type Content struct {
	torrent *piece.Torrent
	leaves  *bytes.Reader
	size    int64
	piece   int64
}

// NewContent describes content of the given size. Any number of runs can share it.
func NewContent(size, pieceLength int64) (*Content, error) {
	dir, err := os.MkdirTemp("", "shoal-sim-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "release")
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		return nil, err
	}
	var leaves flat
	x, _, err := piece.Build(context.Background(), path, piece.BuildConfig{PieceLength: pieceLength, Leaves: &leaves, Workers: 1})
	if err != nil {
		return nil, err
	}
	return &Content{x, bytes.NewReader(leaves), size, x.PieceLength}, nil
}

// flat is a file in memory.
type flat []byte

func (b *flat) WriteAt(p []byte, off int64) (int, error) {
	if need := int(off) + len(p); need > len(*b) {
		*b = append(*b, make([]byte, need-len(*b))...)
	}
	return copy((*b)[off:], p), nil
}

// Result is what a run came to.
type Result struct {
	Name     string        `json:"name"`
	Seed     uint64        `json:"seed"`
	Bound    time.Duration `json:"bound"`
	Makespan time.Duration `json:"makespan"` // when the last machine had everything that survived
	Mean     time.Duration `json:"mean"`     // from arrival to having everything
	Slowest  time.Duration `json:"slowest"`  // the same, of the slowest
	Late     time.Duration `json:"late"`     // the same, of the slowest of those who came when others had finished
	Copies   float64       `json:"copies"`   // payload that origins sent, over the content's size
	Ingress  float64       `json:"ingress"`  // payload that came into the site with most, over the content's size
	InWire   float64       `json:"in_wire"`  // the same on the wire: with headers, acknowledgements and control messages
	Wasted   float64       `json:"wasted"`   // received twice or wrong, over all that was needed
	Finished int           `json:"finished"`
	Hung     int           `json:"hung"` // survivors that did not finish
	Bad      int           `json:"bad"`  // wrong blocks that count as verified
	Events   uint64        `json:"events"`

	Machines []*Machine `json:"-"`
	Samples  []Sample   `json:"samples"` // once a second
}

// Sample is what a second of a run was like.
type Sample struct {
	At     time.Duration `json:"at"`
	Origin float64       `json:"origin"` // how busy the origins' uplinks were
	Peers  float64       `json:"peers"`  // the same of all others' that are there
	In     float64       `json:"in"`     // how busy sites' links were, inwards
	Out    float64       `json:"out"`    // and outwards
	Copies float64       `json:"copies"`
	Least  float64       `json:"least"` // shares of the content that machines have
	Mean   float64       `json:"mean"`
	Most   float64       `json:"most"`
	Leases bool          `json:"leases"` // an origin leases
}

// Ratio is the makespan over the bound.
func (x Result) Ratio() float64 { return x.Makespan.Seconds() / x.Bound.Seconds() }

// run is a simulation under way.
type run struct {
	network
	Scenario
	content  *Content
	rnd      *rand.Rand
	machines []*Machine
	present  []*Machine // those that the tracker knows of, in the order they came
	sites    map[string]*site
	of       map[*swarm.Virtual]*Machine
	at4      map[netip.AddrPort]*Machine
	samples  []Sample
	finished int
	left     int // machines that are there or to come, and have not finished
	err      error
}

// Run simulates a scenario.
func Run(s Scenario, content *Content, seed uint64) (Result, error) {
	s = s.withDefaults()
	r := &run{Scenario: s, content: content, rnd: rand.New(rand.NewPCG(seed, 1)), sites: make(map[string]*site),
		of: make(map[*swarm.Virtual]*Machine), at4: make(map[netip.AddrPort]*Machine)}
	r.quantum = s.Quantum
	r.populate()
	r.sample()
	r.network.run(func() bool { return r.err != nil || r.left == 0 || r.at > int64(s.Limit) })
	if r.err != nil {
		return Result{}, r.err
	}
	return r.result(seed), nil
}

// populate makes all machines and has them come.
func (r *run) populate() {
	for _, h := range r.Hosts {
		if p, ok := r.Sites[h.Site]; ok && r.sites[h.Site] == nil {
			i := byte(len(r.sites) + 1)
			r.sites[h.Site] = &site{newLink(p.Up, r.Queue), newLink(p.Down, r.Queue), netip.PrefixFrom(netip.AddrFrom4([4]byte{10, i, 0, 0}), 16)}
		}
	}
	for _, h := range r.Hosts {
		h.Seed = h.Seed || h.Origin
		times := make([]time.Duration, h.machines())
		for i := range times {
			times[i] = h.Arrive
			if h.Over > 0 {
				times[i] += time.Duration(r.rnd.Int64N(int64(h.Over)))
			}
		}
		for i := range times {
			m := &Machine{Host: h, Index: len(r.machines), Arrived: times[i], r: r}
			m.up, m.down = newLink(h.Up, r.Queue), newLink(h.Down, r.Queue)
			k := uint32(m.Index) + 1
			ip := [4]byte{198, 18 + byte(k>>16), byte(k >> 8), byte(k)}
			if r.sites[h.Site] != nil {
				ip = [4]byte{10, r.sites[h.Site].prefix.Addr().As4()[1], byte(k >> 8), byte(k)}
			}
			m.addr = netip.AddrPortFrom(netip.AddrFrom4(ip), 7070)
			r.machines = append(r.machines, m)
			r.at4[m.addr] = m
			if !m.Seed && !m.Liar {
				r.left++
			}
			if h.AfterFinished == 0 {
				r.comes(m)
			}
		}
	}
}

// comes has a machine come and go.
func (r *run) comes(m *Machine) {
	start := m.Arrived
	if !m.Origin {
		start += 100*time.Millisecond + time.Duration(r.rnd.Int64N(int64(200*time.Millisecond))) // to get going
	}
	s1, s2 := r.rnd.Uint64(), r.rnd.Uint64()
	r.add(event{at: int64(start), kind: call, f: func() { r.start(m, s1, s2) }})
	die := m.DieAt
	if m.Vanish > 0 && r.rnd.Float64() < m.Vanish {
		die = start + time.Duration(r.rnd.Int64N(int64(r.Bound)))
	}
	if die > 0 {
		r.add(event{at: int64(die), kind: call, f: func() { r.dies(m) }})
	}
	if m.DieCopies > 0 {
		var look func()
		look = func() {
			if r.copies() >= m.DieCopies {
				r.dies(m)
			} else {
				r.add(event{at: r.at + int64(20*time.Millisecond), kind: call, f: look})
			}
		}
		r.add(event{at: int64(start), kind: call, f: look})
	}
}

func (r *run) copies() float64 {
	var sum int64
	for _, m := range r.machines {
		if m.Origin && m.node != nil {
			for _, n := range m.node.Stats().To {
				sum += n
			}
		}
	}
	return float64(sum) / float64(r.content.size)
}

func (r *run) dies(m *Machine) {
	if m.dead {
		return
	}
	m.dead = true
	m.Died = time.Duration(r.at)
	if m.Finished == 0 && !m.Seed && !m.Liar {
		r.left--
	}
}

// start is when a machine's program runs.
func (r *run) start(m *Machine, s1, s2 uint64) {
	if m.dead {
		return
	}
	cfg := swarm.Config{Port: int(m.addr.Port()), MaxPeers: r.MaxPeers}
	if !r.Multicast {
		cfg.Site = m.Site
	}
	if m.Origin {
		cfg.Role = swarm.RoleOrigin
	}
	copy(cfg.PeerID[:], swarm.PeerIDPrefix+"0100-")
	binary.BigEndian.PutUint64(cfg.PeerID[8:], s1)
	binary.BigEndian.PutUint32(cfg.PeerID[16:], uint32(m.Index))
	spec := swarm.VirtualSpec{Torrent: r.content.torrent, Seed: m.Seed || m.Liar, Liar: m.Liar, Leaves: r.content.leaves, Ration: m.Copies, Coarse: r.Coarse, Seed1: s1, Seed2: s2}
	if s := r.sites[m.Site]; s != nil {
		spec.Near = []netip.Prefix{s.prefix}
	}
	m.node = swarm.NewVirtual(cfg, spec, r)
	r.of[m.node] = m
	m.here = true
	if err := m.node.Start(); err != nil {
		r.err = fmt.Errorf("machine %d: %w", m.Index, err)
		return
	}
	r.present = append(r.present, m)
	r.announce(m, 0)
	r.multicast(m)
}

// Finished is when a machine has everything.
func (r *run) Finished(v *swarm.Virtual) {
	m := r.of[v]
	if m == nil || m.Seed || m.Liar || m.Finished > 0 || m.dead {
		return
	}
	m.Finished = time.Duration(r.at)
	r.left--
	r.finished++
	for _, late := range r.machines {
		if late.AfterFinished == r.finished {
			late.Arrived = time.Duration(r.at)
			r.comes(late)
		}
	}
}

// announce has the tracker name peers, and again for as long as a machine is short of them.
func (r *run) announce(m *Machine, round int) {
	if m.dead {
		return
	}
	var peers []netip.AddrPort
	for _, p := range r.choose(m) {
		peers = append(peers, p.addr)
	}
	r.After(m.node, 2*r.Latency+5*time.Millisecond, func() { m.node.Heard(peers) })
	wait := [...]time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 15 * time.Second}[min(round, 4)]
	if len(peers) > 0 {
		wait = max(wait, 5*time.Second)
	}
	var look func()
	look = func() {
		if m.Finished > 0 || m.Seed {
			return
		}
		if m.node.Stats().Peers < 8 {
			r.announce(m, round+1)
			return
		}
		r.After(m.node, 5*time.Second, look)
	}
	r.After(m.node, wait, look)
}

// choose is the tracker's answer: those of the asker's site first, but for an eighth, then seeds for
// up to half and others.
func (r *run) choose(m *Machine) []*Machine {
	var near, seeds, rest []*Machine
	for _, i := range r.rnd.Perm(len(r.present)) {
		p := r.present[i]
		switch {
		case p == m:
		case m.Site != "" && p.Site == m.Site:
			near = append(near, p)
		case p.Seed || p.Finished > 0:
			seeds = append(seeds, p)
		default:
			rest = append(rest, p)
		}
	}
	n := r.TrackerPeers
	out := near[:min(len(near), n-min(len(seeds)+len(rest), max(n/8, 1)))]
	room := n - len(out)
	k := min(len(seeds), max((room+1)/2, room-len(rest)))
	out = append(out, seeds[:k]...)
	return append(out, rest[:min(len(rest), n-len(out))]...)
}

func (r *run) result(seed uint64) Result {
	x := Result{Name: r.Name, Seed: seed, Bound: r.Bound, Copies: r.copies(), Events: r.loops, Machines: r.machines, Samples: r.samples}
	var needed, wasted float64
	inside := make(map[string]int64)
	for _, m := range r.machines {
		if m.node == nil {
			continue
		}
		x.Bad += m.node.Bad()
		if m.Seed || m.Liar {
			continue
		}
		st := m.node.Stats()
		wasted += float64(st.Wasted)
		needed += float64(r.content.size)
		for class := swarm.Peers; class < swarm.Classes; class++ {
			inside[m.Site] += st.From[class]
		}
		switch {
		case m.Finished > 0:
			x.Finished++
			took := m.Finished - m.Arrived
			x.Mean += took
			x.Slowest = max(x.Slowest, took)
			if m.AfterFinished > 0 {
				x.Late = max(x.Late, took)
			}
			x.Makespan = max(x.Makespan, m.Finished)
		case !m.dead:
			x.Hung++
		}
	}
	if x.Hung > 0 {
		x.Makespan = time.Duration(r.at)
	}
	if x.Finished > 0 {
		x.Mean /= time.Duration(x.Finished)
	}
	for name, s := range r.sites {
		x.Ingress = max(x.Ingress, float64(inside[name])/float64(r.content.size))
		if s.down != nil {
			x.InWire = max(x.InWire, float64(s.down.bytes)/float64(r.content.size))
		}
	}
	if needed > 0 {
		x.Wasted = wasted / needed
	}
	return x
}

// sample looks at everything once a second.
func (r *run) sample() {
	x := Sample{At: time.Duration(r.at), Copies: r.copies(), Least: 1}
	var origins, peers, n float64
	for _, m := range r.machines {
		if m.node == nil || m.dead {
			continue
		}
		used := m.up.since()
		if m.Origin {
			origins++
			x.Origin += used
			x.Leases = x.Leases || m.node.Exclusive()
			continue
		}
		peers++
		x.Peers += used
		if m.Seed || m.Liar {
			continue
		}
		st := m.node.Stats()
		have := float64(st.Have) / float64(r.content.size)
		n++
		x.Mean += have
		x.Least, x.Most = min(x.Least, have), max(x.Most, have)
	}
	for _, s := range r.sites {
		x.In += s.down.since() / float64(len(r.sites))
		x.Out += s.up.since() / float64(len(r.sites))
	}
	x.Origin /= max(origins, 1)
	x.Peers /= max(peers, 1)
	x.Mean /= max(n, 1)
	r.samples = append(r.samples, x)
	r.add(event{at: r.at + int64(time.Second), kind: call, f: r.sample})
}

// Details tells of each machine.
func (x Result) Details() string {
	var b strings.Builder
	for _, s := range x.Samples {
		fmt.Fprintf(&b, "  %5.1f s  origin busy %.2f  peers busy %.2f  sites in %.2f out %.2f  copies %.3f  have %.3f %.3f %.3f  leases %v\n", s.At.Seconds(), s.Origin, s.Peers, s.In, s.Out, s.Copies, s.Least, s.Mean, s.Most, s.Leases)
	}
	for _, m := range x.Machines {
		if m.node == nil {
			continue
		}
		st := m.node.Stats()
		fmt.Fprintf(&b, "  %2d %4.0f/%-4.0f arrived %5.2f finished %6.2f died %5.2f peers %2d sent %6.2f Mi in %6.2f Mi wasted %5.2f Mi", m.Index, m.Up/1e6, m.Down/1e6,
			m.Arrived.Seconds(), m.Finished.Seconds(), m.Died.Seconds(), st.Peers, float64(m.sent)/(1<<20), float64(m.received)/(1<<20), float64(st.Wasted)/(1<<20))
		if m.up != nil {
			fmt.Fprintf(&b, " up busy %.3f", float64(m.up.busy)/float64(x.Makespan))
		}
		b.WriteByte('\n')
	}
	return b.String()
}
