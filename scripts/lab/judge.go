//go:build linux

package main

import (
	"cmp"
	"fmt"
	"slices"
)

// verdict is a goal and what became of it.
type verdict struct {
	What    string  `json:"what"`
	Want    float64 `json:"want"` // at most
	Got     float64 `json:"got"`
	Reached bool    `json:"reached"`
	Either  bool    `json:"either,omitempty"` // it is enough if one of these is reached
}

func (v verdict) String() string {
	word := "reached"
	if !v.Reached {
		word = "MISSED"
	}
	return fmt.Sprintf("%s %.3f, goal at most %.3g: %s", v.What, v.Got, v.Want, word)
}

// judge holds what was measured against the goals, and counts those that were missed. Where shoal takes part it is one, said
// or not, that all machines get the content: a scenario without other goals would pass with nobody served.
func judge(g goal, all []summary, results []*result) (missed int) {
	for i := range all {
		y := &all[i]
		if y.ours {
			y.machines(g, unexplained(roundsOf(y.Contender, results)))
		}
		if y.Contender == g.Of {
			y.alone(g)
		}
		for _, v := range g.Versus {
			if y.Contender == cmp.Or(v.Of, g.Of) {
				y.versus(v, results)
			}
		}
		y.mixed(all, results)
		either, one := false, false
		for _, v := range y.Goals {
			switch {
			case v.Either:
				either, one = true, one || v.Reached
			case !v.Reached:
				missed++
			}
		}
		if either && !one {
			missed++
		}
	}
	return missed
}

// machines is the goal that none is left without the content, unless it says what is lost where it may; unexplained did not.
func (y *summary) machines(g goal, unexplained int) {
	v := verdict{What: "machines without the content", Got: float64(y.Expected - y.Verified)}
	if g.Lost {
		v.What, v.Got = "machines that neither finished nor named what is lost (exit code 6)", float64(unexplained)
	}
	v.Reached = v.Got == 0
	y.Goals = append(y.Goals, v)
}

// unexplained counts the machines that neither finished nor named what is lost. Exit code 6 alone is no such word: who stalls
// beside peers that have everything ends with it as well.
func unexplained(results []*result) (n int) {
	for _, x := range results {
		for _, m := range x.Machines {
			if !m.Vanished && m.Seconds == 0 && (m.Code != exitStalled || len(m.Lost) == 0) {
				n++
			}
		}
	}
	return n
}

// alone are the goals that need no comparison.
func (y *summary) alone(g goal) {
	add := func(what string, want, got float64) {
		if want > 0 {
			y.add(verdict{What: what, Want: want, Got: got})
		}
	}
	add("makespan / T_min", g.Ratio, y.Ratio)
	add("makespan, s", g.Seconds, y.Makespan)
	add("origin's payload / content", g.Origin, y.Payload)
	add("origin's wire bytes / content", g.OriginWire, y.Wire)
	add("payload into a site / content", g.Ingress, y.Ingress)
	if y.Bound > 0 {
		add("slowest machine's own time / T_min", g.Own, y.Slowest/y.Bound)
	}
	add("late-comer's own time, s", g.LateOwn, y.Late)
}

// exitStalled is how shoal get ends when the rest cannot be had.
const exitStalled = 6

// add judges a goal. None is reached if a machine that stayed does not have the content.
func (y *summary) add(v verdict) {
	v.Reached = v.Got <= v.Want && y.Verified == y.Expected
	y.Goals = append(y.Goals, v)
}

// versus compares round by round, so that what disturbs one round disturbs both sides.
func (y *summary) versus(v versus, results []*result) {
	ours, theirs := roundsOf(y.Contender, results), roundsOf(v.Contender, results)
	if len(theirs) != len(ours) {
		return // it does not take part
	}
	compare := func(what string, want float64, of func(*result) float64) {
		var all []float64
		for i := range ours {
			if b := of(theirs[i]); b > 0 && theirs[i].Verified > 0 {
				all = append(all, of(ours[i])/b)
			}
		}
		x := verdict{What: what + v.Contender, Want: want, Either: v.Either, Got: middle(all)}
		if len(all) == 0 {
			x.What += ", which served nobody"
			y.Goals = append(y.Goals, x) // missed: nothing was compared
			return
		}
		y.add(x)
	}
	if v.Makespan > 0 {
		compare("makespan / that of ", v.Makespan, func(x *result) float64 { return x.Makespan })
	}
	if v.CPU > 0 {
		compare("processor time / that of ", v.CPU, (*result).cpuEach)
	}
}

// mixedWorse is how much slower a program's machines may be in a mixed swarm than among themselves.
const mixedWorse = 1.10

// mixed judges a mixed swarm by the pure swarms in the same run: no program's machines are much worse off, and
// all together are done before the worse of the pure swarms.
func (y *summary) mixed(all []summary, results []*result) {
	own := roundsOf(y.Contender, results)
	by := map[string][]float64{}
	var order []string
	for _, x := range own {
		sums, counts := map[string]float64{}, map[string]float64{}
		for _, m := range x.Machines {
			if m.Seconds > 0 {
				sums[m.Program] += m.Seconds
				counts[m.Program]++
			}
			if !slices.Contains(order, m.Program) {
				order = append(order, m.Program)
			}
		}
		for p, sum := range sums {
			by[p] = append(by[p], sum/counts[p])
		}
	}
	if len(order) < 2 {
		return
	}
	worse := 0.0
	for _, p := range order {
		i := slices.IndexFunc(all, func(x summary) bool { return x.Contender == p })
		if i < 0 {
			return
		}
		if all[i].Mean == 0 || len(by[p]) == 0 {
			y.Goals = append(y.Goals, verdict{What: fmt.Sprintf("mean of %s / its mean among itself, of machines that finished", p), Want: mixedWorse})
			return // missed: nothing was compared
		}
		worse = max(worse, all[i].Makespan)
		y.add(verdict{What: fmt.Sprintf("mean of %s / its mean among itself", p), Want: mixedWorse, Got: middle(by[p]) / all[i].Mean})
	}
	y.add(verdict{What: "makespan / that of the worse pure swarm", Want: 1, Got: y.Makespan / worse})
}

// roundsOf are the rounds of one contender.
func roundsOf(name string, results []*result) (own []*result) {
	for _, x := range results {
		if x.Contender == name {
			own = append(own, x)
		}
	}
	return own
}

// cpuEach is the mean processor time of a machine.
func (x *result) cpuEach() (mean float64) {
	for _, m := range x.Machines {
		mean += m.CPU / float64(len(x.Machines))
	}
	return mean
}

// middle is the median.
func middle(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}
