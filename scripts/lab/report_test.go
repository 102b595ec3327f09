//go:build linux

package main

import (
	"encoding/json"
	"strings"
	"testing"
)

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
