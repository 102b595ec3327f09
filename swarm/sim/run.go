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

// NewContent describes content of the given size; a pieceLength of 0 is what suits it. Any number of runs can share it.
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
	metainfo int // bytes of the .torrent
	err      error
}

// Run simulates a scenario.
func Run(s Scenario, content *Content, seed uint64) (Result, error) {
	s = s.withDefaults()
	r := &run{Scenario: s, content: content, rnd: rand.New(rand.NewPCG(seed, 1)), sites: make(map[string]*site),
		of: make(map[*swarm.Virtual]*Machine), at4: make(map[netip.AddrPort]*Machine)}
	r.quantum = s.Quantum
	if r.metainfo, r.err = content.metainfoBytes(); r.err != nil {
		return Result{}, r.err
	}
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
	r.add(event{at: int64(start), kind: call, f: func() {
		r.ask(m, func(d swarm.Description) { r.start(m, d, s1, s2) })
	}})
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
func (r *run) start(m *Machine, d swarm.Description, s1, s2 uint64) {
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
	spec := swarm.VirtualSpec{Torrent: r.content.torrent, Description: d, Seed: m.Seed || m.Liar, Liar: m.Liar, Leaves: r.content.leaves, Ration: m.Copies, Coarse: r.Coarse, Seed1: s1, Seed2: s2}
	if s := r.sites[m.Site]; s != nil {
		spec.Near = []netip.Prefix{s.prefix}
	}
	m.Referred = d == swarm.Referred
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
