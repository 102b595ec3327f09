package updater

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"shoal/internal/swarmtest"
)

// The test binary plays an updater in a process of its own, which kills itself before the change of the disk whose number asUpdater has; -1: before none.
const asUpdater, shelfDir, installTo = "SHOAL_TEST_UPDATER_STOP", "SHOAL_TEST_UPDATER_SHELF", "SHOAL_TEST_UPDATER_TO"

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
	u, err := newUpdater(Config{To: os.Getenv(installTo), App: "app", Channel: "stable", Source: s}, func(o op) {
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
	run := func(m *machine, n int) (out string, killed bool) {
		c := exec.CommandContext(t.Context(), os.Args[0])
		c.Env = append(os.Environ(), asUpdater+"="+strconv.Itoa(n), shelfDir+"="+m.shelf.dir, installTo+"="+m.cfg.To, "GORACE=atexit_sleep_ms=0")
		b, err := c.CombinedOutput()
		status, _ := c.ProcessState.Sys().(syscall.WaitStatus)
		if killed = status.Signaled() && status.Signal() == syscall.SIGKILL; err != nil && !killed {
			t.Fatalf("step %d: %v\n%s", n, err, b)
		}
		return strings.TrimSpace(string(b)), killed
	}
	kills := 0
	for n := 0; ; n += stride {
		m := prepare(t, false, "1", false)
		at, killed := run(m, n)
		if !killed {
			break
		}
		kills++
		if v, err := m.inPlace(); err != nil || v != "1" && v != "2" {
			t.Fatalf("%s: in place is %q (%v)", at, v, err)
		}
		if out, killed := run(m, -1); killed {
			t.Fatalf("%s: the next start is killed: %s", at, out)
		}
		m.has("2")
	}
	if kills < 3 {
		t.Errorf("%d kills, want more", kills)
	}
}
