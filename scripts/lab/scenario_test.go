//go:build linux

package main

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestShippedScenariosAreRead(t *testing.T) {
	for _, name := range names() {
		s, err := load(name)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, c := range s.Contenders {
			if _, err := parseContender(c); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if s.About == "" {
			t.Errorf("%s does not say what it is about", name)
		}
	}
}

// The bounds as they stand in the goals: worked out by hand.
func TestBound(t *testing.T) {
	for _, tt := range []struct {
		name string
		want float64
	}{
		{"S1", 26.84}, {"S2a", 26.84}, {"S2b", 26.84}, {"S3-site", 26.84}, {"S3-lan", 26.84}, {"S4-free", 16.52}, {"S4-budget", 25.00},
	} {
		s, err := load(tt.name)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.bound(); math.Abs(got-tt.want) > 0.01 {
			t.Errorf("%s: T_min = %.3f s, want %.2f", tt.name, got, tt.want)
		}
	}
}

func TestBoundOfOtherNetworks(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       float64
	}{
		{"one slow way down", "size = '10M'\n[origin]\nup = '100Mbit'\n[[machines]]\ncount = 2\ndown = '8Mbit'", 10},
		{"nothing shaped", "size = '10M'\n[[machines]]\ncount = 2", 0},
		{"behind NAT all get it from the origin", "size = '10M'\n[origin]\nup = '80Mbit'\n[[machines]]\ncount = 5\nup = '80Mbit'\nnat = true", 5},
		{"who comes late or lies does not count", "size = '10M'\n[origin]\nup = '8Mbit'\n[[machines]]\ncount = 1\nup = '8Mbit'\n[[machines]]\ncount = 9\nup = '1Mbit'\npoisoner = true", 10},
		{"a slow network inside a site", "size = '10M'\n[origin]\nup = '800Mbit'\n[[site]]\nname = 'a'\nup = '800Mbit'\ndown = '800Mbit'\n[[machines]]\ncount = 2\nup = '4Mbit'\ndown = '4Mbit'\nsite = 'a'", 20},
		{"said in the file", "size = '10M'\nbound = '7s'\n[[machines]]\ncount = 1", 7},
	} {
		s, err := parse(tt.name, tt.text)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.bound(); math.Abs(got-tt.want) > 0.001 {
			t.Errorf("%s: T_min = %v s, want %v", tt.name, got, tt.want)
		}
	}
}

func TestBadScenariosAreRefused(t *testing.T) {
	const machines = "\n[[machines]]\ncount = 1\n"
	for _, tt := range []struct{ text, want string }{
		{"size = '1M'", "0 machines"},
		{"size = '1M'\nspeed = 3" + machines, "unknown key speed"},
		{"size = '1M'" + machines + "up = '20M'", "not a rate"},
		{"size = 'lots'" + machines, "not an amount"},
		{"size = '1M'" + machines + "site = 'a'", "not described"},
		{"size = '1M'\n[[event]]\nkill = ['origin']" + machines, "says when"},
		{"size = '1M'\n[[event]]\nat = '1s'\nkill = ['machine-2']" + machines, "no host"},
		{"size = '1M'\npiece-length = '100Ki'" + machines, "power of two"},
		{"size = '1M'\npiece-length = '0'" + machines, "power of two"},
		{"size = '1M'" + machines + "vanish = 2", "share"},
		{"size = '1M'\ntimeout = '-1s'" + machines, "not a time"},
		{"size = '1M'\n[[machines]]\ncount = 30000", "30000 machines"},
	} {
		if _, err := parse("test", tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: error %v, want one with %q", tt.text, err, tt.want)
		}
	}
}

func TestContenders(t *testing.T) {
	c, err := parseContender("shoal+aria2@256Ki")
	if err != nil || len(c.machines) != 2 || c.pieceLength != 256<<10 || c.origin != "shoal" || c.byTracker() {
		t.Errorf("shoal+aria2@256Ki: %+v, %v", c, err)
	}
	if c, err := parseContender("shoal-v1"); err != nil || !c.byTracker() {
		t.Errorf("shoal-v1, which is to have the .torrent of the others: %+v, %v", c, err)
	}
	for _, bad := range []string{"", "emule", "aria2@", "aria2@100Ki", "aria2+", "aria2>http", "floor>shoal", "http>floor", "edge"} {
		if _, err := parseContender(bad); err == nil {
			t.Errorf("contender %q is accepted", bad)
		}
	}
}

func TestCarriedBetweenSamples(t *testing.T) {
	at := time.Now()
	w := &watch{series: []sample{{at: at, carried: []uint64{100}}, {at: at.Add(time.Second), carried: []uint64{300}}}}
	for _, tt := range []struct {
		after time.Duration
		want  float64
	}{{-time.Second, 100}, {0, 100}, {500 * time.Millisecond, 200}, {time.Second, 300}, {time.Minute, 300}} {
		if got := w.carriedAt(0, at.Add(tt.after)); got != tt.want {
			t.Errorf("after %s: %v bytes, want %v", tt.after, got, tt.want)
		}
	}
}
