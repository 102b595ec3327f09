package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"shoal/internal/swarmtest"
)

// simulated is a machine without a process of its own: it runs the commands that a machine runs, here.
type simulated struct {
	dir string
	env map[string]string

	mu  sync.Mutex
	out bytes.Buffer
}

// Write implements io.Writer, for what the commands print.
func (s *simulated) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(b)
}

// run runs a command until it ends, or ctx is done.
func (s *simulated) run(ctx context.Context, args ...string) int {
	e := &env{stdin: strings.NewReader(""), stdout: s, stderr: io.Discard, lookupEnv: func(name string) (string, bool) {
		v, ok := s.env[name]
		return v, ok
	}}
	return e.main(ctx, append(append([]string{"shoal"}, args...), "--json"))
}

// said says whether the machine has said this of a version.
func (s *simulated) said(t *testing.T, state, version string) bool {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for line := range bytes.Lines(s.out.Bytes()) {
		var e swarmtest.Event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if e.String("event") == "update" && e.String("state") == state && e.String("version") == version {
			return true
		}
	}
	return false
}

// simulate has n machines in this process follow app:stable, until the test ends.
func (f *fleetTest) simulate(n int, args ...string) (list []*simulated) {
	f.t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "shoal-machines-") // where syncing costs nothing, if the system has such
	if err != nil {
		dir = f.t.TempDir()
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	f.t.Cleanup(func() {
		cancel()
		running.Wait()
		os.RemoveAll(dir)
	})
	for i := range n {
		s := &simulated{dir: filepath.Join(dir, fmt.Sprint(i))}
		s.env = map[string]string{"SHOAL_STATE_DIR": filepath.Join(s.dir, "state"), "SHOAL_NO_LAN": "true", "SHOAL_DHT": "off", "SHOAL_ENROLL_TOKEN": f.token}
		if code := s.run(ctx, "fleet", "enroll", f.base); code != exitDone {
			f.t.Fatalf("enrolling: exit code %d\n%s", code, s.out.Bytes())
		}
		running.Go(func() { s.run(ctx, append(f.updateArgs(f.base, filepath.Join(s.dir, "opt")), args...)...) })
		list = append(list, s)
	}
	return list
}

// The script that ships a patch as a CI job does, with machines in processes of their own and machines in this one: a good version comes to all, and a broken one to
// one of them.
func TestShipsAPatch(t *testing.T) {
	needsSignals(t)
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("no bash")
	}
	t.Parallel()
	processes, others, every := 3, 8, "500ms"
	if swarmtest.Required("long") {
		processes, others, every = 20, 200, "5s"
	}
	script, err := filepath.Abs("../../scripts/ship.sh")
	if err != nil {
		t.Fatal(err)
	}
	h := swarmtest.Local(t)
	content := swarmtest.Tree(t, h.Path("dist"), 1<<20)
	f := &fleetTest{t: t, h: h, repo: h.Path("repo")}
	f.must("init", f.repo, "--plain-keys")
	f.must("publish", content, "--as", "app@1", "--channel", "stable", "--repo", f.repo)
	// The origin's copy has no offline keys; then the build machine's online keys go.
	err = errors.Join(os.CopyFS(h.Path("copy"), os.DirFS(f.repo)), os.RemoveAll(h.Path("copy", "keys", "offline")), os.RemoveAll(h.Path("repo", "keys", "online")),
		os.WriteFile(h.Path("token"), []byte("0123456789abcdef\n"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	f.serve(h.Path("copy"), "--token-file", h.Path("token"))
	works := []string{"--every", every, "--post", `test ! -e "$SHOAL_PATH/broken"`}
	simulated := f.simulate(others, works...)
	f.follow(processes, works...)
	// count is how many machines have said this of a version.
	count := func(state, version string) (n int) {
		for _, s := range simulated {
			if s.said(t, state, version) {
				n++
			}
		}
		return n + f.count(state, version)
	}
	confirmed := func(version string) {
		t.Helper()
		waitUntil(t, "all machines have version "+version, func() bool { return count("confirmed", version) == processes+others })
	}
	confirmed("1")
	ship := func(version, build string, want int) {
		t.Helper()
		for name, value := range map[string]string{"BUILD": build, "CONTENT": content, "REPO": f.repo, "WAVES": "1,50%,100%", "PATIENCE": "5m", "ORIGIN": f.base,
			"TOKEN_FILE": h.Path("token"), "ORIGIN_REPO": h.Path("copy")} {
			h.Setenv(name, value)
		}
		p := h.StartProgram("bash", script, "app@"+version)
		if code := p.Wait(); code != want {
			t.Fatalf("shipping %s: exit code %d, want %d\n%s", version, code, want, p.Output())
		}
	}
	ship("2", fmt.Sprintf("echo 2 > %s/bin/version", content), exitDone)
	confirmed("2")
	ship("2", "", exitDone) // once more: it is done
	ship("3", fmt.Sprintf("echo 3 > %s/broken", content), exitHalted)
	waitUntil(t, "who was touched is back", func() bool { return count("rolled-back", "3") == count("switched", "3") })
	if touched, confirmed := count("switched", "3"), count("confirmed", "3"); touched != 1 || confirmed != 0 {
		t.Errorf("the broken version came to %d machines and was confirmed by %d, want the first alone, and none", touched, confirmed)
	}
	list := f.must("fleet", "ls", "app").Events("machine")
	for _, m := range list {
		if m.String("running") != "2" {
			t.Errorf("%v: want version 2 in place", m)
		}
	}
	if len(list) != processes+others {
		t.Errorf("%d machines have reported, want %d", len(list), processes+others)
	}
}
