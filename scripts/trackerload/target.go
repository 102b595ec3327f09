//go:build linux

package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"shoal/scripts/internal/program"
)

// target is a tracker under load.
type target struct {
	name   string
	addr   netip.AddrPort
	hashes [][20]byte
	peers  int
	cmd    *exec.Cmd
}

func (b *bench) startShoal(ctx context.Context, cores string) (*target, error) {
	port := freePort()
	list := filepath.Join(b.dir, fmt.Sprintf("allow-%d.txt", port)) // one that is starting may still be reading its own
	if err := b.writeHashes(list, strings.ToLower); err != nil {
		return nil, err
	}
	// The limit per source is on, as it is for everybody, but high enough for one source to be the whole load.
	return b.start(ctx, "shoal", cores, port, b.dir, b.shoal, "tracker", "--allow", list, "--listen", fmt.Sprint(trackerAddr, ":", port),
		"--announce-limit", "1000000", "--quiet")
}

func (b *bench) startOpentracker(ctx context.Context) (*target, error) {
	dir, err := os.MkdirTemp(b.dir, "opentracker-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	// Debian's opentracker serves only what its list names, and reads the list after it has changed its root.
	if err := b.writeHashes(filepath.Join(dir, "whitelist.txt"), strings.ToUpper); err != nil {
		return nil, err
	}
	port := freePort()
	return b.start(ctx, "opentracker", b.cores, port, dir, "opentracker", "-i", trackerAddr, "-p", strconv.Itoa(port), "-P", strconv.Itoa(port), "-d", dir, "-u", "nobody", "-w", "whitelist.txt")
}

func (b *bench) start(ctx context.Context, name, cores string, port int, dir string, line ...string) (*target, error) {
	line = append([]string{"taskset", "-c", cores}, line...)
	if b.priority != "" {
		line = append([]string{"chrt", "-f", b.priority}, line...)
	} else {
		line = append([]string{"chrt", "-o", "0"}, line...)
	}
	t := &target{name: name, addr: netip.AddrPortFrom(netip.MustParseAddr(trackerAddr), uint16(port))}
	for i := range b.hashes {
		t.hashes = append(t.hashes, hashNumber(i))
	}
	t.cmd = exec.CommandContext(ctx, line[0], line[1:]...)
	t.cmd.Dir, t.cmd.Stderr = dir, os.Stderr
	t.cmd.Env = append(os.Environ(), "HOME="+b.dir, fmt.Sprintf("SHOAL_STATE_DIR=%s/state-%d", b.dir, port))
	if err := t.cmd.Start(); err != nil {
		return nil, err
	}
	for range 100 {
		c, err := net.Dial("tcp", t.addr.String())
		if err == nil {
			c.Close()
			return t, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.stop()
	return nil, fmt.Errorf("%s does not answer", name)
}

func (t *target) stop() {
	t.cmd.Process.Kill()
	t.cmd.Wait()
}

func (b *bench) writeHashes(path string, letters func(string) string) error {
	var text strings.Builder
	for i := range b.hashes {
		h := hashNumber(i)
		text.WriteString(letters(hex.EncodeToString(h[:])) + "\n")
	}
	return os.WriteFile(path, []byte(text.String()), 0o644)
}

func freePort() int {
	l, err := net.Listen("tcp", trackerAddr+":0")
	if err != nil {
		panic(err) // the script makes the address
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// cpu is the processor time that the tracker has taken.
func (t *target) cpu() time.Duration {
	spent, _ := program.CPU(t.cmd.Process.Pid)
	return spent
}

// resident is the tracker's memory.
func (t *target) resident() int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", t.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(strings.Fields(string(b))[1])
	return n * os.Getpagesize()
}
