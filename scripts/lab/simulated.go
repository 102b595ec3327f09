//go:build linux

package main

import (
	"slices"

	"shoal/swarm/sim"
)

// figures are what the simulator says, of one seed or of all. Times are seconds, and what a round in namespaces says as
// well has the same name there.
type figures struct {
	Bound    float64 `json:"t_min_seconds"`
	Makespan float64 `json:"makespan_seconds"` // of a machine that is left without the content: when the simulation was given up
	Mean     float64 `json:"mean_seconds"`
	Slowest  float64 `json:"slowest_seconds"`
	Late     float64 `json:"late_seconds"`
	Ratio    float64 `json:"ratio"`
	Payload  float64 `json:"origin_payload_copies"`
	Ingress  float64 `json:"ingress_payload_copies"`
	InWire   float64 `json:"ingress_wire_copies"`
	Wasted   float64 `json:"wasted_share"` // received twice or wrong, over all that was needed
	Verified int     `json:"verified"`     // machines, in all rounds
	Expected int     `json:"expected"`
	Lost     int     `json:"lost"`  // of the others, those that lack nothing but what nobody has any more
	Hung     int     `json:"hung"`  // and those that lack what somebody has, or never came
	Wrong    int     `json:"wrong"` // wrong blocks that count as verified
}

// simulatedRound is one seed in JSON.
type simulatedRound struct {
	Event     string `json:"event"`
	Simulated bool   `json:"simulated"`
	Scenario  string `json:"scenario"`
	Contender string `json:"contender"`
	Round     int    `json:"round"`
	Seed      uint64 `json:"seed"`
	Size      int64  `json:"size_bytes"`
	figures
	Seconds []second `json:"seconds"`
}

// second is what one second of a round was like: see [sim.Sample].
type second struct {
	At     float64 `json:"at_seconds"`
	Origin float64 `json:"origin_busy"`
	Peers  float64 `json:"peers_busy"`
	In     float64 `json:"sites_in_busy"`
	Out    float64 `json:"sites_out_busy"`
	Copies float64 `json:"origin_payload_copies"`
	Least  float64 `json:"have_least"`
	Mean   float64 `json:"have_mean"`
	Most   float64 `json:"have_most"`
	Leases bool    `json:"leases"`
}

// simulatedSummary is all seeds of a scenario in JSON: medians, and sums of machines.
type simulatedSummary struct {
	Event     string `json:"event"`
	Simulated bool   `json:"simulated"`
	Scenario  string `json:"scenario"`
	Contender string `json:"contender"`
	Rounds    int    `json:"rounds"`
	figures
	Least    float64   `json:"makespan_least_seconds"`
	Most     float64   `json:"makespan_most_seconds"`
	Goals    []verdict `json:"goals,omitempty"`
	Unjudged []string  `json:"goals_not_simulated,omitempty"`
}

func figuresOf(r sim.Result) figures {
	f := figures{Bound: r.Bound.Seconds(), Makespan: r.Makespan.Seconds(), Mean: r.Mean.Seconds(), Late: r.Late.Seconds(), Ratio: r.Ratio(),
		Payload: r.Copies, Ingress: r.Ingress, InWire: r.InWire, Wasted: r.Wasted, Verified: r.Finished, Lost: r.Lost, Wrong: r.Bad}
	for _, m := range r.Machines {
		if m.Seed || m.Liar || m.Died > 0 && m.Finished == 0 {
			continue
		}
		f.Expected++
		if m.Finished > 0 && m.AfterFinished == 0 {
			f.Slowest = max(f.Slowest, (m.Finished - m.Arrived).Seconds())
		}
	}
	f.Hung = f.Expected - f.Verified - f.Lost
	return f
}

func roundOf(s *scenario, n int, r sim.Result) simulatedRound {
	x := simulatedRound{Event: "round", Simulated: true, Scenario: s.Name, Contender: "shoal", Round: n, Seed: r.Seed, Size: int64(s.Size), figures: figuresOf(r)}
	for _, p := range r.Samples {
		x.Seconds = append(x.Seconds, second{p.At.Seconds(), p.Origin, p.Peers, p.In, p.Out, p.Copies, p.Least, p.Mean, p.Most, p.Leases})
	}
	return x
}

// summaryOf puts the seeds together, and holds them against the goals.
func summaryOf(s *scenario, results []sim.Result) simulatedSummary {
	y := simulatedSummary{Event: "summary", Simulated: true, Scenario: s.Name, Contender: "shoal", Rounds: len(results)}
	var all []figures
	for _, r := range results {
		f := figuresOf(r)
		all = append(all, f)
		y.Verified += f.Verified
		y.Expected += f.Expected
		y.Lost += f.Lost
		y.Hung += f.Hung
		y.Wrong += f.Wrong
	}
	for _, f := range []func(*figures) *float64{
		func(f *figures) *float64 { return &f.Bound }, func(f *figures) *float64 { return &f.Makespan }, func(f *figures) *float64 { return &f.Mean },
		func(f *figures) *float64 { return &f.Slowest }, func(f *figures) *float64 { return &f.Late }, func(f *figures) *float64 { return &f.Ratio },
		func(f *figures) *float64 { return &f.Payload }, func(f *figures) *float64 { return &f.Ingress }, func(f *figures) *float64 { return &f.InWire },
		func(f *figures) *float64 { return &f.Wasted },
	} {
		var list []float64
		for i := range all {
			list = append(list, *f(&all[i]))
		}
		slices.Sort(list)
		*f(&y.figures) = list[len(list)/2] // the upper one of two, which is a seed's
	}
	y.Least, y.Most = all[0].Makespan, all[0].Makespan
	for _, f := range all {
		y.Least, y.Most = min(y.Least, f.Makespan), max(y.Most, f.Makespan)
	}
	y.judge(s.Goal)
	return y
}

// judge holds against the goals what is simulated of them, as [judge] does with rounds in namespaces.
func (y *simulatedSummary) judge(g goal) {
	z := summary{Verified: y.Verified, Expected: y.Expected, Bound: y.Bound, Makespan: y.Makespan, Ratio: y.Ratio, Payload: y.Payload, Ingress: y.Ingress, Slowest: y.Slowest, Late: y.Late}
	z.machines(g, y.Hung)
	z.Goals = append(z.Goals, verdict{What: "wrong blocks that count as verified", Got: float64(y.Wrong), Reached: y.Wrong == 0})
	if g.OriginWire > 0 {
		y.Unjudged = append(y.Unjudged, "origin-wire")
		g.OriginWire = 0
	}
	if len(g.Versus) > 0 {
		y.Unjudged = append(y.Unjudged, "versus")
	}
	if g.Of == "shoal" {
		z.alone(g)
	} else {
		y.Unjudged = append(y.Unjudged, "those of "+g.Of)
	}
	y.Goals = z.Goals
}

// missed counts the goals that were not reached.
func (y *simulatedSummary) missed() (n int) {
	for _, v := range y.Goals {
		if !v.Reached {
			n++
		}
	}
	return n
}

// onlyReal are the flags among those that were given which mean nothing to the simulator.
func onlyReal(given []string) (list []string) {
	for _, name := range given {
		switch name {
		case "simulate", "contenders", "rounds", "scale", "json", "why", "check":
		default:
			list = append(list, "-"+name)
		}
	}
	return list
}
