//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
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
	if err := s.simulated(); err != nil {
		return x, err
	}
	get, _ := withoutStall(s.Shoal.Get)
	switch {
	case s.Leave:
		return x, errors.New("leave: simulated machines stay")
	case len(s.Shoal.Serve)+len(get) > 0:
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

// simulated says whether what the contenders do is simulated: the simulator runs shoal among itself.
func (s *scenario) simulated() error {
	shoal := false
	for _, name := range s.Contenders {
		c, err := parseContender(name)
		if err != nil {
			return err
		}
		if len(c.machines) > 1 {
			return fmt.Errorf("%s: mixed swarms are not simulated; -contenders shoal simulates shoal among itself", name)
		}
		shoal = shoal || name == "shoal"
	}
	if !shoal {
		return fmt.Errorf("only the contender shoal is simulated, not %s", strings.Join(s.Contenders, ", "))
	}
	return nil
}

// withoutStall takes out of get's arguments how long it waits before it gives up. That alone makes no difference to what is
// simulated: machines there wait until the end.
func withoutStall(args []string) (rest, out []string) {
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "--stall-timeout" && i+1 < len(args):
			out = append(out, args[i], args[i+1])
			i++
		case strings.HasPrefix(args[i], "--stall-timeout="):
			out = append(out, args[i])
		default:
			rest = append(rest, args[i])
		}
	}
	return rest, out
}

// simulate runs scenarios in the simulator, with as many seeds as there are rounds. Of the
// flags that were given, it refuses those that mean nothing to it.
func (l *lab) simulate(given, scenarios []string) error {
	if real := onlyReal(given); len(real) > 0 {
		return fmt.Errorf("%s: not with -simulate", strings.Join(real, ", "))
	}
	missed := 0
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
		if l.contenders != nil {
			if len(l.contenders) > 1 || l.contenders[0] != "shoal" {
				return fmt.Errorf("-contenders %s: shoal alone is simulated", strings.Join(l.contenders, ","))
			}
			s.Contenders = l.contenders
		}
		n, err := s.simulate(l.out, l.talk, l.json, l.why)
		if err != nil {
			return fmt.Errorf("scenario %s: %w", name, err)
		}
		missed += n
	}
	if l.check && missed > 0 {
		return fmt.Errorf("goals missed: %d", missed)
	}
	return nil
}

// simulate returns how many goals were missed. Results go to out, all else to talk.
func (s *scenario) simulate(out, talk io.Writer, asJSON, why bool) (missed int, err error) {
	x, err := s.simulation()
	if err != nil {
		return 0, err
	}
	if _, stall := withoutStall(s.Shoal.Get); len(stall) > 0 {
		fmt.Fprintf(talk, "%s: not simulated: get %s; machines that cannot finish wait until the end\n", s.Name, strings.Join(stall, " "))
	}
	content, err := sim.NewContent(x.Size, x.PieceLength)
	if err != nil {
		return 0, err
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
	for i, o := range outcomes { // each is told as soon as it is known: many take long
		r := <-o
		if r.err != nil {
			return 0, r.err
		}
		results = append(results, r.Result)
		if asJSON {
			if err := json.NewEncoder(out).Encode(roundOf(s, i, r.Result)); err != nil {
				return 0, err
			}
			continue
		}
		fmt.Fprintf(out, "%4d  %8.2f %7.3f  %15.3f  %4.1f  %13.3f  %7.3f  %11.3f  %13.1f%%  %8d  %4d  %4d  %5d\n", r.Seed, r.Makespan.Seconds(), r.Ratio(),
			r.Slowest.Seconds()/r.Bound.Seconds(), r.Late.Seconds(), r.Copies, r.Ingress, r.InWire, 100*r.Wasted, r.Finished, r.Lost, r.Hung, r.Bad)
	}
	y := summaryOf(s, results)
	details := out
	if asJSON {
		if err := json.NewEncoder(out).Encode(y); err != nil {
			return 0, err
		}
		details = talk
	}
	if why {
		for _, r := range results {
			fmt.Fprintf(details, "seed %d\n%s", r.Seed, r.Details())
		}
	}
	if asJSON {
		return y.missed(), nil
	}
	fmt.Fprintf(out, "median %.3f x T_min\n", y.Ratio)
	for _, v := range y.Goals {
		fmt.Fprintf(out, "  %s\n", v)
	}
	if len(y.Unjudged) > 0 {
		fmt.Fprintf(out, "  goals that are not simulated: %s\n", strings.Join(y.Unjudged, ", "))
	}
	return y.missed(), nil
}
