//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"shoal/internal/swarmtest"
)

// TestMain lets the test binary be the programs that the lab makes of itself.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if ok, err := role(context.Background(), os.Args[1:]); ok {
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

const small = `
size = "2Mi"
[origin]
up = "40Mbit"
[[site]]
name = "a"
up = "40Mbit"
down = "40Mbit"
[[machines]]
count = 2
up = "100Mbit"
down = "100Mbit"
site = "a"
[[machines]]
count = 1
up = "40Mbit"
down = "8Mbit"
`

// namespaces are those of this process.
func namespaces(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("ip", "netns", "list").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var mine []string
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, fmt.Sprintf("%s%d-", prefix, os.Getpid())) {
			mine = append(mine, strings.TrimSpace(line))
		}
	}
	return strings.Join(mine, " ")
}

// Links carry what they are shaped to and no more, counters count it, and nothing is left behind.
func TestNetworkIsAsDescribed(t *testing.T) {
	swarmtest.Require(t, "netns", "ip", "tc")
	s, err := parse("small", small)
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{dir: t.TempDir(), scale: 1}
	c, err := parseContender("floor")
	if err != nil {
		t.Fatal(err)
	}
	content := l.dir + "/release.bin"
	if err := randomFile(content, int64(s.Size), 1); err != nil {
		t.Fatal(err)
	}
	x, err := l.round(t.Context(), s, c, 0, l.dir, content)
	if err != nil {
		t.Fatal(err)
	}
	if x.Verified != 3 || x.Expected != 3 {
		t.Errorf("%d of %d verified, want 3 of 3", x.Verified, x.Expected)
	}
	// Each of three machines fetched its own copy from the origin, two of them into the site.
	size, wire := float64(s.Size), headers*float64(s.Size)
	within := func(what string, got int64, copies float64) {
		t.Helper()
		if low, high := copies*size, 1.1*copies*wire; float64(got) < low || float64(got) > high {
			t.Errorf("%s: %d bytes on the wire, want %.0f to %.0f", what, got, low, high)
		}
	}
	within("origin", x.OriginWire, 3)
	within("into the site", x.Sites[0].InWire, 2)
	for _, link := range x.Links {
		if link.Busy > 1.05 {
			t.Errorf("%s carried %.2f times its rate", link.Name, link.Busy)
		}
	}
	// 2 MiB at 8 Mbit/s cannot take less than this, however fast the computer is.
	if m := x.Machines[2]; m.Seconds < 1.9 {
		t.Errorf("machine-3 took %.2f s behind a link on which it takes 2.1", m.Seconds)
	}
	if left := namespaces(t); left != "" {
		t.Errorf("left behind: %s", left)
	}
	if svg := string(draw(s, x)); strings.Count(svg, "<polyline") < 3 || !strings.HasSuffix(svg, "</svg>\n") {
		t.Errorf("the picture has no line for each machine:\n%.300s", svg)
	}
	if why := explain(x); !strings.Contains(why, "origin up") {
		t.Errorf("the explanation does not tell of the origin:\n%s", why)
	}
}

// Who waits for others that never finish has not come when the round's time is over, and is without the content as they are.
func TestWhoDidNotComeIsCounted(t *testing.T) {
	swarmtest.Require(t, "netns", "ip", "tc")
	s, err := parse("late", "size = '8Mi'\ntimeout = '500ms'\n[origin]\nup = '1Mbit'\n[[machines]]\ncount = 1\n[[machines]]\ncount = 1\nafter-finished = 1")
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{dir: t.TempDir(), scale: 1}
	c, err := parseContender("floor")
	if err != nil {
		t.Fatal(err)
	}
	content := l.dir + "/release.bin"
	if err := randomFile(content, int64(s.Size), 1); err != nil {
		t.Fatal(err)
	}
	x, err := l.round(t.Context(), s, c, 0, l.dir, content)
	if err != nil {
		t.Fatal(err)
	}
	if x.Verified != 0 || x.Expected != 2 || x.Machines[1].Arrived != 0 || x.Machines[1].Error == "" {
		t.Errorf("%d of %d verified, want 0 of 2; who did not come: %+v", x.Verified, x.Expected, x.Machines[1])
	}
}

func TestInterruptedLabLeavesNothing(t *testing.T) {
	swarmtest.Require(t, "netns", "ip", "tc")
	dir := t.TempDir()
	file := dir + "/slow.toml"
	if err := os.WriteFile(file, []byte(strings.Replace(small, "2Mi", "64Mi", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	l := &lab{dir: work, shoal: "/bin/true", scale: 1, contenders: []string{"floor"}, out: io.Discard, talk: io.Discard}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if err := l.run(ctx, []string{file}); err == nil {
		t.Error("an interrupted lab says nothing")
	}
	if left := namespaces(t); left != "" {
		t.Errorf("left behind: %s", left)
	}
	if left, err := os.ReadDir(work); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestQueuesAreParsed(t *testing.T) {
	for _, b := range [][]byte{nil, {1}, {3, 0, 7, 0}, {0xff, 0xff, 7, 0}, {8, 0, 7, 0, 4, 0, 1, 0}, {12, 0, 7, 0, 8, 0, 1, 0, 1, 2, 3, 4}} {
		if got := parseQueue(b); got != (reading{}) {
			t.Errorf("%v: %+v, want nothing", b, got)
		}
	}
}

func TestOrphans(t *testing.T) {
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		fmt.Sprintf("%s%d-1-net", prefix, dead.Process.Pid): true,
		fmt.Sprintf("%s%d-1-net", prefix, os.Getpid()):      false,
		prefix + "0-x": false, prefix + "-1-x": false, "shoal-1-net": false, "other": false,
	} {
		if got := orphan(name); got != want {
			t.Errorf("%s: orphan = %v, want %v", name, got, want)
		}
	}
}
