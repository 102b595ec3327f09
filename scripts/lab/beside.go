//go:build linux

package main

import (
	"fmt"

	"shoal/swarm/sim"
)

// simulatedContender is the contender that is no program but the simulator, to see beside shoal in namespaces how far one tells
// of the other.
const simulatedContender = "simulated"

func (c contender) simulated() bool { return c.name == simulatedContender }

// simulateRound is a round of the simulator's, with the seed that -simulate has for it.
func (s *scenario) simulateRound(n int) (*result, error) {
	only := *s
	only.Contenders = []string{"shoal"}
	spec, err := only.simulation()
	if err != nil {
		return nil, fmt.Errorf("scenario %s: %w", s.Name, err)
	}
	content, err := sim.NewContent(spec.Size, spec.PieceLength)
	if err != nil {
		return nil, err
	}
	r, err := sim.Run(spec, content, s.Seed+uint64(n))
	if err != nil {
		return nil, err
	}
	f := figuresOf(r)
	x := &result{Scenario: s.Name, Contender: simulatedContender, Simulated: true, Round: n, Size: int64(s.Size), Bound: s.bound(), Mean: f.Mean,
		Verified: f.Verified, Expected: f.Expected, OriginPayload: int64(f.Payload * float64(s.Size)), details: r.Details()}
	if len(s.Sites) > 0 { // of the site that took most, which is what summaries look at
		x.Sites = []siteResult{{InWire: int64(f.InWire * float64(s.Size)), Inside: int64(f.Ingress * float64(s.Size))}}
	}
	for i, m := range r.Machines {
		if m.Seed || m.Liar {
			continue
		}
		show := machineShow{Name: machineName(i - 1), Program: simulatedContender, Site: m.Site, Arrived: m.Arrived.Seconds(), Vanished: m.Died > 0 && m.Finished == 0, Late: m.AfterFinished > 0}
		if m.Finished > 0 {
			show.Seconds = (m.Finished - m.Arrived).Seconds()
			x.Makespan = max(x.Makespan, m.Finished.Seconds())
			if x.First == 0 || show.Seconds < x.First {
				x.First = show.Seconds
			}
		}
		x.Machines = append(x.Machines, show)
	}
	if x.Bound > 0 {
		x.Ratio = x.Makespan / x.Bound
	}
	return x, nil
}
