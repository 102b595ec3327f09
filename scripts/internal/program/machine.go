//go:build linux

package program

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// RandomFile writes a file of n bytes that no hash or copy can take a shortcut on.
func RandomFile(path string, n int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	var seed [32]byte
	copy(seed[:], path)
	_, err = io.CopyN(f, rand.NewChaCha8(seed), n)
	return errors.Join(err, f.Close())
}

// Machine says what figures hold for.
func Machine() string {
	model := "processor"
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	return fmt.Sprintf("%s: %d cores of %s, linux/%s, %s", time.Now().Format(time.DateOnly), runtime.GOMAXPROCS(0), model, runtime.GOARCH, runtime.Version())
}

// Load is how busy the machine was in the last minute.
func Load() string {
	b, _ := os.ReadFile("/proc/loadavg")
	one, _, _ := strings.Cut(string(b), " ")
	return "load average " + one
}

// Row prints a line of a table of two columns.
func Row(what, format string, args ...any) {
	fmt.Printf("| %s | %s |\n", what, fmt.Sprintf(format, args...))
}

// Installed says whether there is such a program to compare with.
func Installed(program string) bool {
	_, err := exec.LookPath(program)
	if err != nil {
		fmt.Fprintf(os.Stderr, "no %s here to compare with\n", program)
	}
	return err == nil
}
