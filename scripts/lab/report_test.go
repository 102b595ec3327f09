//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// What is simulated stands in the table of what is measured, with the figures that -simulate has.
func TestSimulatedBesideMeasured(t *testing.T) {
	s, err := parse("quick", quick)
	if err != nil {
		t.Fatal(err)
	}
	var contenders []contender
	results := []*result{round2("shoal", 12, machineShow{Seconds: 12}), round2("shoal", 12, machineShow{Seconds: 12})}
	for _, name := range []string{"shoal", "simulated"} {
		c, err := parseContender(name)
		if err != nil {
			t.Fatal(err)
		}
		contenders = append(contenders, c)
	}
	l := &lab{rounds: 2}
	for n := range 2 {
		x, err := l.round(t.Context(), s, contenders[1], n, "", "")
		if err != nil {
			t.Fatal(err)
		}
		results = append(results, x)
	}
	var out, talk strings.Builder
	l.out, l.talk = &out, &talk
	l.tell(results[2])
	if _, err := l.report(s, contenders, results); err != nil {
		t.Fatal(err)
	}
	alone, _, _ := simulateText(t, quick, false, false)
	if ratio := fmt.Sprintf("%.3f", results[2].Ratio); !strings.Contains(alone, ratio) {
		t.Errorf("%s x T_min; alone the simulator says\n%s", ratio, alone)
	}
	if !strings.Contains(out.String(), "simulated       2       6/6") || !strings.Contains(out.String(), "shoal       2       4/4") {
		t.Errorf("the two are not side by side:\n%s", &out)
	}
	if _, err := json.Marshal(summarize(s, contenders[1], results[2:])); err != nil {
		t.Error(err)
	}
}

// With -json every line on stdout is JSON, and what -why says is beside it.
func TestWhyBesideJSON(t *testing.T) {
	s := &scenario{Name: "small", Size: 1000, Goal: goal{Of: "shoal"}}
	c, err := parseContender("shoal")
	if err != nil {
		t.Fatal(err)
	}
	var out, talk strings.Builder
	l := &lab{json: true, why: true, out: &out, talk: &talk}
	x := round2("shoal", 12, machineShow{Seconds: 3, Idle: map[string]float64{"queue_empty": 2}})
	l.tell(x)
	if _, err := l.report(s, []contender{c}, []*result{x}); err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(out.String()) {
		n++
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
	if n != 2 || !strings.Contains(talk.String(), "queue empty 2.0") {
		t.Errorf("%d lines of JSON, want 2; beside them %q, want why", n, &talk)
	}
}
