package swarmtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"shoal/internal/child"
)

// Host is a machine that runs programs. Hosts on loopback share one network, and differ by where
// they keep things.
type Host struct {
	Dir  string     // its own, for whatever the test wants to keep there
	Addr netip.Addr // at which others reach it

	t   testing.TB
	in  []string // put before each command, to run it in the host's network
	env []string
}

// Local returns a host on loopback.
func Local(t testing.TB) *Host {
	t.Helper()
	return newHost(t, netip.MustParseAddr("127.0.0.1"), nil)
}

func newHost(t testing.TB, addr netip.Addr, in []string) *Host {
	t.Helper()
	h := &Host{t: t, Dir: t.TempDir(), Addr: addr, in: in}
	for _, dir := range []string{"state", "tmp", "home"} {
		if err := os.Mkdir(h.Path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	h.env = []string{"SHOAL_STATE_DIR=" + h.Path("state"), "TMPDIR=" + h.Path("tmp"), "HOME=" + h.Path("home"),
		"SHOAL_NO_LAN=true",        // tests hear each other only where they ask for it
		"GORACE=atexit_sleep_ms=0"} // under -race each process would wait a second at its end
	return h
}

// Path is the path of a name below the host's directory.
func (h *Host) Path(names ...string) string {
	return filepath.Join(append([]string{h.Dir}, names...)...)
}

// Setenv sets a variable for the programs that the host starts from now on.
func (h *Host) Setenv(name, value string) { h.env = append(h.env, name+"="+value) }

// FreePort returns a port on the host that nobody listened at a moment ago.
func (h *Host) FreePort() int {
	h.t.Helper()
	if h.in != nil {
		h.t.Fatal("in a network of its own a host's ports are all free")
	}
	return FreePort(h.t)
}

// FreePort returns a port of the loopback that nobody listened at a moment ago, over TCP, and that no system gives to who asks for any: those are from 32768 on, and one of them
// would be somebody's before the test has it.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 16384 + rand.IntN(16384)
		if ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			ln.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// Start runs shoal with --json in the background.
func (h *Host) Start(args ...string) *Process {
	h.t.Helper()
	return h.start("shoal "+strings.Join(args, " "), self(h.t), append(slices.Clone(args), "--json"), asProgram+"=1")
}

// StartProgram runs a program of others in the background.
func (h *Host) StartProgram(name string, args ...string) *Process {
	h.t.Helper()
	return h.start(filepath.Base(name), name, args)
}

// Run runs shoal with --json to its end.
func (h *Host) Run(args ...string) *Process {
	h.t.Helper()
	p := h.Start(args...)
	p.Wait()
	return p
}

// Do runs a program of others to its end, which must be a good one, and returns its stdout.
func (h *Host) Do(name string, args ...string) string {
	h.t.Helper()
	p := h.StartProgram(name, args...)
	if code := p.Wait(); code != 0 {
		h.t.Fatalf("%s %s: exit code %d\n%s", name, strings.Join(args, " "), code, p.Output())
	}
	return strings.Join(p.Lines(), "\n")
}

// Shoal makes a command for shoal that is not started, for tests that want its pipes. It is killed
// when ctx is done.
func (h *Host) Shoal(ctx context.Context, args ...string) *exec.Cmd {
	h.t.Helper()
	c := exec.CommandContext(ctx, self(h.t), args...)
	c.Env = h.environment(asProgram + "=1")
	c.Dir = h.Dir
	return c
}

func self(t testing.TB) string {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// environment is the host's, without what a developer has set for himself.
func (h *Host) environment(more ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		v = strings.ToUpper(v)
		return strings.HasPrefix(v, "SHOAL_") || strings.HasSuffix(v[:strings.IndexByte(v+"=", '=')], "_PROXY")
	})
	env = append(env, "SHOAL_DHT=off") // no test may speak with the public DHT: those that want one say which
	return append(append(env, h.env...), more...)
}

func (h *Host) start(what, program string, args []string, env ...string) *Process {
	h.t.Helper()
	line := append(append(slices.Clone(h.in), program), args...)
	ctx, cancel := context.WithCancel(context.Background())
	c := child.Command(ctx, line[0], line[1:]...)
	c.Env, c.Dir = h.environment(env...), h.Dir
	p := &Process{t: h.t, what: fmt.Sprintf("%s [%s]", what, h.t.Name()), command: c, cancel: cancel, changed: make(chan struct{}), ended: make(chan struct{})}
	c.Stderr = (*stderr)(p)
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		h.t.Fatalf("starting %s: %v", what, err)
	}
	h.t.Cleanup(p.cleanup)
	return p
}

// patience bounds each wait for a process: long enough for a busy machine and the race detector (with it a patch of 1 MB of new text takes 20 s), short enough to
// be better than the test binary's own limit. Long variants of tests have much more to do.
func patience() time.Duration {
	if Required("long") {
		return 10 * time.Minute
	}
	return 2 * time.Minute
}
