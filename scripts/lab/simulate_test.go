//go:build linux

package main

import (
	"cmp"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The simulator takes what the shipped scenarios describe, or says why it cannot.
func TestScenariosAreSimulated(t *testing.T) {
	refused := map[string]bool{}
	for _, name := range names() {
		s, err := load(name)
		if err != nil {
			t.Fatal(err)
		}
		if x, err := s.simulation(); err != nil {
			refused[name] = true
		} else if len(x.Hosts) < 2 || x.Bound <= 0 || x.Size != int64(s.Size) {
			t.Errorf("%s is simulated as %+v", name, x)
		}
	}
	for _, name := range []string{"S1", "S2a", "S2b", "S3-site", "S3-lan", "S4-free", "S4-budget", "S5", "S8", "S8-coarse", "S9"} {
		if refused[name] {
			t.Errorf("%s is not simulated", name)
		}
	}
	for _, name := range []string{"S6", "S7-one"} {
		if !refused[name] {
			t.Errorf("%s is simulated, as what it is not", name)
		}
	}
}

const quick = "size = '2Mi'\nrounds = 2\n[origin]\nup = '20Mbit'\n[[machines]]\ncount = 3\nup = '20Mbit'\ndown = '100Mbit'\n"

// simulateText simulates a scenario that is given as text.
func simulateText(t *testing.T, text string, asJSON, why bool) (out, talk string, missed int) {
	t.Helper()
	s, err := parse("quick", text)
	if err != nil {
		t.Fatal(err)
	}
	var a, b strings.Builder
	missed, err = s.simulate(&a, &b, asJSON, why)
	if err != nil {
		t.Fatal(err)
	}
	return a.String(), b.String(), missed
}

// The same seeds print the same.
func TestSimulationPrints(t *testing.T) {
	a, _, _ := simulateText(t, quick, false, false)
	b, _, _ := simulateText(t, quick, false, false)
	if a != b || !strings.Contains(a, "median") {
		t.Errorf("got\n%s\nand\n%s", a, b)
	}
}

// JSON is a line for each round and one for all, in seconds, under the names of the rounds in namespaces; what -why says is
// for people, and goes beside it.
func TestSimulationInJSON(t *testing.T) {
	out, talk, _ := simulateText(t, quick, true, true)
	var events []string
	for line := range strings.Lines(out) {
		var x struct {
			Event    string  `json:"event"`
			Scenario string  `json:"scenario"`
			Makespan float64 `json:"makespan_seconds"`
			Bound    float64 `json:"t_min_seconds"`
			Ratio    float64 `json:"ratio"`
			Verified int     `json:"verified"`
			Expected int     `json:"expected"`
		}
		if err := json.Unmarshal([]byte(line), &x); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		events = append(events, x.Event)
		want := 3
		if x.Event == "summary" {
			want = 6
		}
		if x.Scenario != "quick" || x.Makespan < 0.8 || x.Makespan > 10 || math.Abs(x.Ratio-x.Makespan/x.Bound) > 1e-6 || x.Verified != want || x.Expected != want {
			t.Errorf("%+v, want %d of %d machines and 1 to 10 s", x, want, want)
		}
	}
	if got := strings.Join(events, " "); got != "round round summary" {
		t.Errorf("events %q, want two rounds and a summary", got)
	}
	if !strings.Contains(talk, "seed 2") || !strings.Contains(talk, "origin busy") {
		t.Errorf("-why says nothing beside JSON: %q", talk)
	}
}

// Goals, and that all machines get the content, hold for what is simulated as well.
func TestSimulationIsJudged(t *testing.T) {
	for _, tt := range []struct {
		name, more string
		missed     int
		says       string
	}{
		{"no goal", "", 0, "machines without the content 0"},
		{"a goal that is reached", "[goal]\nratio = 9", 0, "reached"},
		{"one that is not", "[goal]\nratio = 1", 1, "MISSED"},
		{"what is not simulated is said", "[goal]\norigin-wire = 0.1\n[[goal.versus]]\ncontender = 'aria2'\nmakespan = 0.1", 0, "not simulated: origin-wire, versus"},
		{"the origin dies", "[[event]]\norigin-copies = 0.3\nkill = ['origin']", 1, "machines without the content 6"},
		{"the origin dies, and what is lost may be", "[[event]]\norigin-copies = 0.3\nkill = ['origin']\n[goal]\nmay-be-lost = true", 0, "named what is lost (exit code 6)"},
	} {
		out, _, missed := simulateText(t, quick+tt.more, false, false)
		if missed != tt.missed || !strings.Contains(out, tt.says) {
			t.Errorf("%s: missed %d goals, want %d and %q in\n%s", tt.name, missed, tt.missed, tt.says, out)
		}
	}
}

// What the simulator cannot do it refuses, or says that it leaves it out.
func TestSimulatorSaysWhatItLeavesOut(t *testing.T) {
	file := func(more string) string {
		path := filepath.Join(t.TempDir(), "x.toml")
		if err := os.WriteFile(path, []byte(quick+more), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const late = "[[event]]\nat = '1h'\nkill = ['machine-1']\n"
	for _, tt := range []struct {
		name     string
		l        lab
		given    []string
		scenario string
		err      string // "": none
		talk     string
	}{
		{"nothing is left out", lab{}, []string{"simulate", "rounds", "json", "why", "scale", "check"}, file(""), "", ""},
		{"a picture", lab{picture: "/tmp"}, []string{"picture", "simulate"}, file(""), "-picture: not with -simulate", ""},
		{"another contender", lab{contenders: []string{"aria2"}}, nil, file(""), "shoal alone", ""},
		{"mixed swarms", lab{}, nil, "S6", "mixed swarms", ""},
		{"the swarm of shoal among them", lab{contenders: []string{"shoal"}, scale: 0.01}, nil, "S6", "", ""},
		{"arguments", lab{}, nil, file("[shoal]\nget = ['--max-peers', '3']"), "not simulated", ""},
		{"arguments beside events", lab{}, nil, file(late + "[shoal]\nget = ['--stall-timeout', '20s', '--max-peers', '3']"), "not simulated", ""},
		{"what makes no difference", lab{}, nil, file(late + "[shoal]\nget = ['--stall-timeout', '20s']"), "", "not simulated: get --stall-timeout 20s"},
		{"a missed goal", lab{check: true}, nil, file("[goal]\nratio = 1"), "goals missed: 1", ""},
		{"a missed goal that nobody asks about", lab{}, nil, file("[goal]\nratio = 1"), "", ""},
	} {
		tt.l.rounds, tt.l.scale = 1, cmp.Or(tt.l.scale, 1)
		var talk strings.Builder
		tt.l.out, tt.l.talk = io.Discard, &talk
		err := tt.l.simulate(tt.given, []string{tt.scenario})
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.err)
		}
		if !strings.Contains(talk.String(), tt.talk) || tt.talk == "" && talk.Len() > 0 {
			t.Errorf("%s: it says %q, want %q", tt.name, &talk, tt.talk)
		}
	}
}
