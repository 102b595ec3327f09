//go:build unix

package rollout

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"shoal/internal/release"
	"shoal/internal/swarmtest"
)

// memoryTx is a transaction on a map, for simulations.
type memoryTx map[string][]byte

func (m memoryTx) Get(bucket, key string) ([]byte, error) { return m[bucket+"/"+key], nil }
func (m memoryTx) Put(bucket, key string, v []byte) error { m[bucket+"/"+key] = v; return nil }
func (m memoryTx) Delete(bucket, key string) error        { delete(m, bucket+"/"+key); return nil }
func (m memoryTx) Next(string) (uint64, error)            { return 1, nil }
func (m memoryTx) Now() time.Time                         { return time.Time{} }
func (m memoryTx) Each(string, string, func(string, []byte) error) error {
	return nil
}

// fleetSim is a fleet whose machines decide by what is signed, and are counted in and judged by the origin's own code.
type fleetSim struct {
	rng      *rand.Rand
	s        *release.Steered
	rollouts Rollouts
	tx       memoryTx
	machines []string
	groups   [][]string
	has      []bool // was touched: it has switched to the version, whatever came of it
	good     int
	bad      int
	silent   []time.Time // when each that is not heard of again is missed
	fails    float64     // the chance that a machine is not well with the version
	dies     float64     // that it is not heard of again
	now      time.Time
	most     map[int]int // by wave, how many machines may have the version
}

const simV2 = "00"

func newFleetSim(seed uint64) *fleetSim {
	f := &fleetSim{rng: rand.New(rand.NewPCG(seed, 1)), tx: memoryTx{}, most: map[int]int{}, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	n := 5 + f.rng.IntN(200)
	for i := range n {
		f.machines = append(f.machines, fmt.Sprintf("%d of %d", i, seed))
		var groups []string
		if f.rng.IntN(20) == 0 {
			groups = []string{"canary"}
		}
		f.groups = append(f.groups, groups)
	}
	f.has = make([]bool, n)
	f.fails = []float64{0, 0, 0.01, 0.05, 0.3, 1}[f.rng.IntN(6)]
	f.dies = []float64{0, 0, 0, 0.05, 1}[f.rng.IntN(5)]
	haltAt := []float64{0, 0.02, 0.1}[f.rng.IntN(3)]
	p := &release.Policy{Every: int64(60 + f.rng.IntN(7200)), HaltAt: &haltAt, MinReports: 1 + f.rng.IntN(30)}
	w := release.Wave{}
	switch f.rng.IntN(3) {
	case 0:
		w.Groups = []string{"canary"}
	case 1:
		w.Share = 0.01
	default:
		w.Count = 1
	}
	for p.Waves = []release.Wave{w}; w.Share < 1; p.Waves = append(p.Waves, w) {
		w.Share = min(1, w.Share+0.02+f.rng.Float64()/2)
		w.Count = max(w.Count, f.rng.IntN(3)*w.Count)
	}
	f.s = steered(0, p)
	f.s.V2 = map[string]string{release.AnyPlatform: simV2}
	f.now = f.s.Channel.At
	f.s.At.At = f.now
	f.rollouts.Set([]*release.Steered{f.s})
	return f
}

// allowed is how many machines may have the version by now.
func (f *fleetSim) allowed() int {
	wave := f.s.Channel.Reached(f.s.At, f.now)
	if n, ok := f.most[wave]; ok {
		return n
	}
	n := f.s.Channel.Rollout.Counted(wave)
	for i, m := range f.machines {
		if f.s.Channel.Rollout.Reaches(wave, m, f.groups[i], simV2) {
			n++
		}
	}
	f.most[wave] = n
	return n
}

func (f *fleetSim) touched() (n int) {
	for _, has := range f.has {
		if has {
			n++
		}
	}
	return n
}

// poll has a machine ask, and switch if it may.
func (f *fleetSim) poll(t *testing.T, i int) {
	if f.has[i] || f.s.At.Halted || f.s.At.Paused {
		return
	}
	claim := &Claim{App: f.s.Channel.App, Channel: f.s.Channel.Channel, Version: f.s.Channel.Version, V2: simV2, Groups: f.groups[i]}
	if f.rollouts.admit(f.tx, f.machines[i], claim, f.now) != nil {
		return
	}
	f.has[i] = true
	if n, most := f.touched(), f.allowed(); n > most {
		t.Fatalf("%d machines were touched at wave %d of %+v, which allows %d", n, f.s.At.Wave, f.s.Channel.Rollout, most)
	}
	switch x := f.rng.Float64(); {
	case x < f.dies:
		f.silent = append(f.silent, f.now.Add(6*time.Minute))
	case f.rng.Float64() < f.fails:
		f.bad++
	default:
		f.good++
	}
}

// gate does what the origin does once a second.
func (f *fleetSim) gate() {
	e := Evidence{Good: f.good, Bad: f.bad, Open: len(f.silent), Expected: min(f.allowed(), len(f.machines))}
	for _, due := range f.silent {
		if f.now.After(due) {
			e.Missing++
		}
	}
	switch step, why := judge(f.s.Channel, f.s.At, e, f.now); step {
	case Wait:
	case Halt:
		f.s.At.Halted, f.s.At.Why = true, why
	case Advance:
		f.s.At.Wave++
		f.s.At.At = f.now
	}
}

// A thousand fleets with random sizes, policies and failures: none touches more machines than its wave allows, and what harms each machine comes to the first wave alone.
func TestFleets(t *testing.T) {
	t.Parallel()
	fleets := 30
	if swarmtest.Required("long") {
		fleets = 1000
	}
	halted, everywhere, most := 0, 0, 0
	for seed := range uint64(fleets) {
		f := newFleetSim(seed)
		order := f.rng.Perm(len(f.machines))
		canaries := f.allowed()
		for range 12 * 48 { // two days, in which machines ask every five minutes
			for k, i := range order {
				f.poll(t, i)
				if k%50 == 0 {
					f.gate()
				}
			}
			f.gate()
			f.now = f.now.Add(5 * time.Minute)
			if f.s.At.Halted || !slices.Contains(f.has, false) {
				break
			}
		}
		n := f.touched()
		if f.fails == 1 && f.dies == 0 || f.dies == 1 {
			if most = max(most, n); n > canaries || n > 0 && !f.s.At.Halted {
				t.Fatalf("fleet %d: a broken version has touched %d of %d machines, and the first wave has %d; halted: %v", seed, n, len(f.machines), canaries, f.s.At.Halted)
			}
		}
		if f.fails == 0 && f.dies == 0 && f.s.At.Halted {
			t.Fatalf("fleet %d: a good version was halted: %s", seed, f.s.At.Why)
		}
		if f.s.At.Halted {
			halted++
		} else if n == len(f.machines) {
			everywhere++
		}
	}
	t.Logf("%d fleets: %d halted, %d everywhere; a broken version has touched %d machines at most", fleets, halted, everywhere, most)
	if halted == 0 || everywhere == 0 {
		t.Error("the fleets show nothing")
	}
}
