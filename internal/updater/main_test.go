package updater

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"shoal/internal/swarmtest"
)

// The test binary plays an updater in a process of its own, which kills itself before the change of the disk whose number asUpdater has; -1: before none.
const asUpdater, shelfDir, installTo, postHook = "SHOAL_TEST_UPDATER_STOP", "SHOAL_TEST_UPDATER_SHELF", "SHOAL_TEST_UPDATER_TO", "SHOAL_TEST_UPDATER_POST"

func TestMain(m *testing.M) {
	text := os.Getenv(asUpdater)
	if text == "" {
		os.Exit(m.Run())
	}
	n, err := strconv.Atoi(text)
	if err == nil {
		err = playUpdater(n)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func playUpdater(n int) error {
	s := &shelf{dir: os.Getenv(shelfDir), offer: Offer{App: "app", Channel: "stable", Version: "2"}}
	u, err := newUpdater(Config{To: os.Getenv(installTo), App: "app", Channel: "stable", Source: s, Hooks: Hooks{Post: os.Getenv(postHook)}}, func(o op) {
		if n--; n == -1 {
			fmt.Println("killed before", o.what)
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	})
	if err != nil {
		return err
	}
	return u.Once(context.Background())
}

// process runs an update in a process of its own, with a post hook.
func (m *machine) process(n int, post string) (out string, killed bool) {
	m.t.Helper()
	path := filepath.Join(m.t.TempDir(), "out") // a pipe would be held open by what a hook leaves behind
	f, err := os.Create(path)
	if err != nil {
		m.t.Fatal(err)
	}
	defer f.Close()
	c := exec.CommandContext(m.t.Context(), os.Args[0])
	c.Env = append(os.Environ(), asUpdater+"="+strconv.Itoa(n), shelfDir+"="+m.shelf.dir, installTo+"="+m.cfg.To, postHook+"="+post, "GORACE=atexit_sleep_ms=0")
	c.Stdout, c.Stderr = f, f
	err = c.Run()
	b, _ := os.ReadFile(path)
	status, _ := c.ProcessState.Sys().(syscall.WaitStatus)
	if killed = status.Signaled() && status.Signal() == syscall.SIGKILL; err != nil && !killed {
		m.t.Fatalf("step %d: %v\n%s", n, err, b)
	}
	return strings.TrimSpace(string(b)), killed
}

// What a hook has started does not outlive an updater that was killed for longer than to its next start.
func TestHookOfAKilledUpdater(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("nobody says whose programs those are")
	}
	t.Parallel()
	m := prepare(t, false, "1", false)
	file := filepath.Join(t.TempDir(), "pid")
	if out, killed := m.process(-1, "sleep 1000 & echo $! > "+file+"; kill -9 $PPID; wait"); !killed {
		t.Fatalf("not killed: %s", out)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || !running(pid) {
		t.Fatalf("process %d does not run any more (%v): the test shows nothing", pid, err)
	}
	if err := m.once(); err != nil {
		t.Fatal(err)
	}
	m.has("2")
	for end := time.Now().Add(10 * time.Second); running(pid); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("process %d of the hook still runs", pid)
		}
	}
}

// The same as TestStoppedAtEachStep by kill -9, which no deferred function survives.
func TestKilledAtEachStep(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no SIGKILL")
	}
	t.Parallel()
	stride := 4
	if swarmtest.Required("interop") {
		stride = 1
	}
	kills := 0
	for n := 0; ; n += stride {
		m := prepare(t, false, "1", false)
		at, killed := m.process(n, "")
		if !killed {
			break
		}
		kills++
		if v, err := m.inPlace(); err != nil || v != "1" && v != "2" {
			t.Fatalf("%s: in place is %q (%v)", at, v, err)
		}
		if out, killed := m.process(-1, ""); killed {
			t.Fatalf("%s: the next start is killed: %s", at, out)
		}
		m.has("2")
	}
	if kills < 3 {
		t.Errorf("%d kills, want more", kills)
	}
}
