//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"time"

	"shoal/swarm/sim"
)

// latency is how long a packet is on the wires of the lab, one way.
const latency = 100 * time.Microsecond

const (
	packet = 1448 // bytes of content in one, at most
	// exactHosts is up to how many machines simulate as they would run, but for packets that travel together.
	exactHosts = 2000
)

// simulation is the scenario for the simulator: the engine's own decisions under a virtual clock.
func (s *scenario) simulation() (sim.Scenario, error) {
	x := sim.Scenario{Name: s.Name, Size: int64(s.Size), PieceLength: int64(s.PieceLength), Latency: latency, LANLatency: latency,
		Bound: time.Duration(s.bound() * float64(time.Second)), Sites: make(map[string]sim.Pipe), Multicast: !s.Shoal.Sites}
	switch {
	case s.Leave:
		return x, errors.New("leave: simulated machines stay")
	case len(s.Shoal.Serve)+len(s.Shoal.Get) > 0 && len(s.Events) == 0:
		return x, errors.New("arguments of shoal's processes are not simulated")
	case s.Origin.Up == 0:
		return x, errors.New("an origin that is not shaped is bound by the processor, which is not simulated")
	}
	switch n := s.hosts(); {
	case n > exactHosts:
		x.Quantum, x.Coarse = 20*packet, 4
	case n > maxHosts:
		x.Quantum = 10 * packet
	}
	for _, site := range s.Sites {
		x.Sites[site.Name] = sim.Pipe{Up: float64(site.Up), Down: float64(site.Down)}
	}
	x.Hosts = append(x.Hosts, sim.Host{Up: float64(s.Origin.Up), Down: float64(s.Origin.Down), Origin: true, Copies: s.Shoal.Budget})
	names := []string{"origin"}
	for _, g := range s.Machines {
		for range g.Count {
			names = append(names, machineName(len(names)-1))
			x.Hosts = append(x.Hosts, sim.Host{Up: float64(g.Up), Down: float64(g.Down), Site: g.Site, NAT: g.NAT, Liar: g.Poisoner,
				Over: time.Duration(g.Arrive), Vanish: g.Vanish, AfterFinished: g.After})
		}
	}
	for _, e := range s.Events {
		for _, who := range append(slices.Clone(e.Kill), e.Unplug...) {
			h := &x.Hosts[slices.Index(names, who)]
			h.DieAt, h.DieCopies = time.Duration(e.At), e.Copies
		}
	}
	return x, nil
}

// simulate runs scenarios in the simulator, with as many seeds as there are rounds.
func (l *lab) simulate(out io.Writer, scenarios []string) error {
	for _, name := range scenarios {
		s, err := load(name)
		if err != nil {
			return err
		}
		if err := s.shrink(l.scale); err != nil {
			return err
		}
		if l.rounds > 0 {
			s.Rounds = l.rounds
		}
		if err := s.simulate(out, l.json, l.why); err != nil {
			return fmt.Errorf("scenario %s: %w", name, err)
		}
	}
	return nil
}

func (s *scenario) simulate(out io.Writer, asJSON, why bool) error {
	x, err := s.simulation()
	if err != nil {
		return err
	}
	content, err := sim.NewContent(x.Size, x.PieceLength)
	if err != nil {
		return err
	}
	type outcome struct {
		sim.Result
		err error
	}
	outcomes := make([]chan outcome, s.Rounds)
	for i := range outcomes {
		outcomes[i] = make(chan outcome, 1)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		slots := make(chan struct{}, runtime.GOMAXPROCS(0))
		for i := range outcomes {
			slots <- struct{}{}
			wg.Go(func() {
				r, err := sim.Run(x, content, s.Seed+uint64(i))
				outcomes[i] <- outcome{r, err}
				<-slots
			})
		}
	})
	if !asJSON {
		fmt.Fprintf(out, "%s: %s (simulated; T_min %.2f s)\n%s\n", s.Name, s.About, x.Bound.Seconds(),
			"seed  makespan / T_min  slowest / T_min  late  origin copies  ingress  on the wire  received twice  finished  lost  hung  wrong")
	}
	var results []sim.Result
	for _, o := range outcomes { // each is told as soon as it is known: many take long
		r := <-o
		if r.err != nil {
			return r.err
		}
		results = append(results, r.Result)
		if asJSON {
			if err := json.NewEncoder(out).Encode(r.Result); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(out, "%4d  %8.2f %7.3f  %15.3f  %4.1f  %13.3f  %7.3f  %11.3f  %13.1f%%  %8d  %4d  %4d  %5d\n", r.Seed, r.Makespan.Seconds(), r.Ratio(),
			r.Slowest.Seconds()/r.Bound.Seconds(), r.Late.Seconds(), r.Copies, r.Ingress, r.InWire, 100*r.Wasted, r.Finished, r.Lost, r.Hung, r.Bad)
	}
	if asJSON {
		return nil
	}
	for _, r := range results {
		if why {
			fmt.Fprintf(out, "seed %d\n%s", r.Seed, r.Details())
		}
	}
	slices.SortFunc(results, func(a, b sim.Result) int { return int(a.Makespan - b.Makespan) })
	fmt.Fprintf(out, "median %.3f x T_min\n", results[len(results)/2].Ratio())
	return nil
}
