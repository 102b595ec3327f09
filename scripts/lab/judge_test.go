//go:build linux

package main

import "testing"

func round2(contender string, makespan float64, machines ...machineShow) *result {
	return &result{Contender: contender, Makespan: makespan, Mean: makespan, Ratio: makespan / 10, OriginPayload: 1020, Size: 1000, Verified: 2, Expected: 2, Machines: machines}
}

func summaries(s *scenario, results []*result) (all []summary) {
	for _, x := range results {
		all = append(all, summarize(s, x.Contender, []*result{x}))
	}
	return all
}

func TestGoals(t *testing.T) {
	s := &scenario{Size: 1000, Goal: goal{Of: "shoal", Ratio: 1.1, Origin: 1.03, Versus: []versus{
		{Contender: "aria2", Makespan: 0.5, Either: true}, {Contender: "floor", Makespan: 1.5, Either: true}, {Contender: "absent", Makespan: 0.1},
		{Contender: "aria2", Of: "floor", Makespan: 0.6},
	}}}
	results := []*result{round2("shoal", 12), round2("aria2", 20), round2("floor", 10)}
	all := summaries(s, results)
	// The ratio is missed; one of the two comparisons is enough, and what is compared of another holds.
	if missed := judge(s.Goal, all, results); missed != 1 {
		t.Errorf("missed %d goals, want 1: %+v", missed, all[0].Goals)
	}
	if n := len(all[0].Goals); n != 4 {
		t.Errorf("%d goals are judged, want 4, not that against who does not take part", n)
	}
	if len(all[1].Goals) != 0 || len(all[2].Goals) != 1 || !all[2].Goals[0].Reached {
		t.Errorf("aria2 is judged, or floor is not by aria2 alone: %+v, %+v", all[1].Goals, all[2].Goals)
	}
	// A machine that did not finish misses everything.
	results[0].Verified = 1
	all = summaries(s, results)
	if missed := judge(s.Goal, all, results); missed != 3 {
		t.Errorf("missed %d goals with a machine that did not finish, want 3: %+v", missed, all[0].Goals)
	}
}

func TestLostPiecesMayBeNamed(t *testing.T) {
	s := &scenario{Size: 1000, Goal: goal{Of: "shoal", Lost: true}}
	results := []*result{round2("shoal", 12, machineShow{Code: exitStalled}, machineShow{Seconds: 3}, machineShow{Vanished: true})}
	if missed := judge(s.Goal, summaries(s, results), results); missed != 0 {
		t.Errorf("missed %d goals, want none", missed)
	}
	results[0].Machines[0].Code = 1
	if missed := judge(s.Goal, summaries(s, results), results); missed != 1 {
		t.Errorf("missed %d goals when a machine ends with 1, want 1", missed)
	}
}

func TestMixedSwarm(t *testing.T) {
	s := &scenario{Size: 1000, Goal: goal{Of: "shoal"}}
	results := []*result{
		round2("shoal", 10), round2("aria2", 20),
		round2("shoal+aria2", 15, machineShow{Program: "shoal", Seconds: 10.5}, machineShow{Program: "aria2", Seconds: 15}),
	}
	all := summaries(s, results)
	if missed := judge(s.Goal, all, results); missed != 0 || len(all[2].Goals) != 3 {
		t.Errorf("missed %d goals of %+v, want none of 3", missed, all[2].Goals)
	}
	results[2].Machines[0].Seconds = 12
	all = summaries(s, results)
	if missed := judge(s.Goal, all, results); missed != 1 {
		t.Errorf("missed %d goals with shoal's machines worse off, want 1", missed)
	}
}
