//go:build linux

package main

import (
	"strings"
	"testing"
)

// What held deliveries back stands beside why connections stood still, both as get says it.
func TestExplainSaysWhatHeldBack(t *testing.T) {
	var machines []machineShow
	for _, done := range []string{
		`{"event":"done","seconds":9,"idle_seconds":{"queue_empty":2},"held_seconds":{"link":6,"origin":3,"nobody":0},"wasted_bytes":0}`,
		`{"event":"done","seconds":9,"idle_seconds":{"queue_empty":4},"held_seconds":{"link":9,"origin":0,"nobody":0},"wasted_bytes":0}`,
	} {
		m := &machine{}
		m.hear(done)
		machines = append(machines, machineShow{Seconds: 9, Idle: m.idle, Held: m.held})
	}
	why := explain(round2("shoal", 9, machines...))
	for _, want := range []string{"all its connections together: queue empty 3.0\n", "deliveries held back, seconds per machine: link 7.5 nobody 0.0 origin 1.5\n"} {
		if !strings.Contains(why, want) {
			t.Errorf("no %q in\n%s", want, why)
		}
	}
}
