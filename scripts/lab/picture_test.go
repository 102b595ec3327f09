//go:build linux

package main

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

// Who lies has no line, and the others have their own: samples count it, results do not.
func TestPictureBesidePoisoners(t *testing.T) {
	begin := time.Now()
	x := &result{Size: 100, Makespan: 1, Expected: 2, begin: begin, Machines: []machineShow{{Name: "machine-2", index: 1}, {Name: "machine-3", index: 2}},
		series: []sample{{at: begin, done: []int64{0, 0, 0}}, {at: begin.Add(time.Second), done: []int64{7, 100, 50}}}}
	svg := string(draw(&scenario{}, x))
	lines := regexp.MustCompile(`points="[^"]* [0-9.]+,([0-9.]+) "><title>(.*)</title>`).FindAllStringSubmatch(svg, -1)
	got := map[string]string{}
	for _, l := range lines {
		got[l[2]] = l[1]
	}
	// All of the content is at the top of the upper part, half of it in the middle.
	if want := "50.0"; got["machine-2"] != want {
		t.Errorf("machine-2, which has everything, ends at height %s, want %s: %v", got["machine-2"], want, got)
	}
	if want := "230.0"; got["machine-3"] != want {
		t.Errorf("machine-3, which has half, ends at height %s, want %s: %v", got["machine-3"], want, got)
	}
	if strings.Contains(svg, "machine-1<") {
		t.Error("the poisoner has a line")
	}
}
