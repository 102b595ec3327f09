package child

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// KillMarked kills all programs whose environment has a variable, NAME=VALUE, and says how many those were: what a process has started that was killed itself, and
// whoever they have started. Those of other users are only found by root.
func KillMarked(variable string) (killed int, err error) {
	mark := []byte("\x00" + variable + "\x00")
	for range 100 { // they may be starting others just now
		found := 0
		paths, err := filepath.Glob("/proc/[0-9]*/environ")
		if err != nil {
			return killed, err
		}
		for _, path := range paths {
			environ, err := os.ReadFile(path)
			if err != nil || !bytes.Contains(append([]byte{0}, environ...), mark) { // it has ended, or is not ours to see
				continue
			}
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err != nil || pid == os.Getpid() {
				continue
			}
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return killed, err
			}
			found++
		}
		if found == 0 {
			return killed, nil
		}
		killed += found
		time.Sleep(time.Millisecond) // until they are gone
	}
	return killed, errors.New("they start faster than they can be killed")
}
