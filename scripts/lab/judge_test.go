//go:build linux

package main

import (
	"encoding/json"
	"testing"
)

func round2(contender string, makespan float64, machines ...machineShow) *result {
	return &result{Contender: contender, Makespan: makespan, Mean: makespan, Ratio: makespan / 10, OriginPayload: 1020, Size: 1000, Verified: 2, Expected: 2, Programs: 3, Machines: machines}
}

func summaries(s *scenario, results []*result) (all []summary) {
	for _, x := range results {
		c, err := parseContender(x.Contender)
		if err != nil {
			panic(err)
		}
		all = append(all, summarize(s, c, []*result{x}))
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
	if n := len(all[0].Goals); n != 5 {
		t.Errorf("%d goals are judged, want 5, not that against who does not take part", n)
	}
	if len(all[1].Goals) != 0 || len(all[2].Goals) != 1 || !all[2].Goals[0].Reached {
		t.Errorf("aria2 is judged, or floor is not by aria2 alone: %+v, %+v", all[1].Goals, all[2].Goals)
	}
	// A machine that did not finish misses everything.
	results[0].Verified = 1
	all = summaries(s, results)
	if missed := judge(s.Goal, all, results); missed != 4 {
		t.Errorf("missed %d goals with a machine that did not finish, want 4: %+v", missed, all[0].Goals)
	}
}

// Without a word about goals, too, a machine of shoal's that is left without the content is missed; one of another program is not.
func TestMachinesAreAGoal(t *testing.T) {
	for _, tt := range []struct {
		contender string
		verified  int
		missed    int
	}{{"shoal", 2, 0}, {"shoal", 1, 1}, {"shoal", 0, 1}, {"shoal-v1", 0, 1}, {"http>shoal", 0, 1}, {"edge>aria2", 0, 1}, {"shoal+aria2", 1, 1}, {"shoal=/bin/true", 0, 1}, {"aria2", 0, 0}} {
		s := &scenario{Size: 1000, Goal: goal{Of: "shoal"}}
		x := round2(tt.contender, 12)
		x.Verified = tt.verified
		all := summaries(s, []*result{x})
		if missed := judge(s.Goal, all, []*result{x}); missed != tt.missed {
			t.Errorf("%s, %d of 2 verified: missed %d goals, want %d: %+v", tt.contender, tt.verified, missed, tt.missed, all[0].Goals)
		}
	}
}

// Better than who served nobody is no result, and what divides by nothing cannot be written as JSON.
func TestNothingToCompareIsMissed(t *testing.T) {
	s := &scenario{Size: 1000, Goal: goal{Of: "shoal", Versus: []versus{{Contender: "aria2", Makespan: 0.5, CPU: 1}}}}
	idle := &result{Contender: "aria2", Size: 1000, Expected: 2, Machines: []machineShow{{CPU: 1}}}
	mixed := round2("shoal+aria2", 15, machineShow{Program: "shoal", Seconds: 10}, machineShow{Program: "aria2", Seconds: 15})
	results := []*result{round2("shoal", 12), idle, mixed}
	all := summaries(s, results)
	if missed := judge(s.Goal, all, results); missed != 3 {
		t.Errorf("missed %d goals where aria2 served nobody, want 3: %+v", missed, all)
	}
	for _, y := range all {
		if _, err := json.Marshal(y); err != nil {
			t.Errorf("%s: %v", y.Contender, err)
		}
	}
}

func TestLostPiecesMayBeNamed(t *testing.T) {
	s := &scenario{Size: 1000, Goal: goal{Of: "shoal", Lost: true}}
	results := []*result{round2("shoal", 12, machineShow{Code: exitStalled, Lost: [][2]int{{3, 5}}}, machineShow{Seconds: 3}, machineShow{Vanished: true})}
	if missed := judge(s.Goal, summaries(s, results), results); missed != 0 {
		t.Errorf("missed %d goals, want none", missed)
	}
	results[0].Machines[0].Lost = nil
	if missed := judge(s.Goal, summaries(s, results), results); missed != 1 {
		t.Errorf("missed %d goals when a machine ends with 6 and names nothing, want 1", missed)
	}
	results[0].Machines[0].Lost, results[0].Machines[0].Code = [][2]int{{3, 5}}, 1
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
	if missed := judge(s.Goal, all, results); missed != 0 || len(all[2].Goals) != 4 {
		t.Errorf("missed %d goals of %+v, want none of 4", missed, all[2].Goals)
	}
	results[2].Machines[0].Seconds = 12
	all = summaries(s, results)
	if missed := judge(s.Goal, all, results); missed != 1 {
		t.Errorf("missed %d goals with shoal's machines worse off, want 1", missed)
	}
}

func TestLabHearsWhatIsLost(t *testing.T) {
	m := &machine{}
	m.hear(`{"event":"error","time":"2026-11-28T00:00:00Z","code":6,"rule":"lost","message":"pieces 3 to 5 are with nobody","hint":"","lost":[[3,5],[9,9]]}`)
	if m.code != 6 || len(m.lost) != 2 || m.lost[0] != [2]int{3, 5} {
		t.Errorf("code %d, lost %v; want 6 and pieces 3 to 5 and 9", m.code, m.lost)
	}
}
