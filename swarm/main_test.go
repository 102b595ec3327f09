package swarm

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"shoal/piece"
)

// childEnv makes the test binary a machine that fetches one torrent, so that it can be killed.
const childEnv = "SHOAL_SWARM_TEST_CHILD"

// child is what such a machine is told.
type child struct {
	Torrent, Dir string
	Peers, Seeds []string
	Down         int64
	Keep         bool
}

func TestMain(m *testing.M) {
	if spec := os.Getenv(childEnv); spec != "" {
		if err := runChild(spec); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		fmt.Println("done")
		os.Exit(0)
	}
	code := m.Run()
	if code == 0 {
		if left := leaked(); left != "" {
			fmt.Println("goroutines are left behind:\n" + left)
			code = 1
		}
	}
	os.Exit(code)
}

// leaked are the stacks of goroutines of ours that do not end.
func leaked() string {
	for wait := time.Millisecond; ; wait *= 2 {
		b := make([]byte, 1<<20)
		b = b[:runtime.Stack(b, true)]
		var ours []byte
		for g := range bytes.SplitSeq(b, []byte("\n\n")) {
			if bytes.Contains(g, []byte("shoal/")) && !bytes.Contains(g, []byte("TestMain")) {
				ours = append(append(ours, g...), "\n\n"...)
			}
		}
		if len(ours) == 0 || wait > 4*time.Second {
			return string(ours)
		}
		time.Sleep(wait)
	}
}

func runChild(spec string) error {
	var c child
	if err := json.Unmarshal([]byte(spec), &c); err != nil {
		return err
	}
	tor, err := piece.ReadFile(c.Torrent)
	if err != nil {
		return err
	}
	n := New(Config{LimitDown: c.Down})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ran := make(chan error)
	go func() { ran <- n.Run(ctx) }()
	tr, err := n.Add(Spec{Torrent: tor, Dir: c.Dir, Peers: c.Peers, WebSeeds: c.Seeds, Keep: c.Keep})
	if err != nil {
		return err
	}
	fmt.Println("begun")
	if err := tr.Wait(ctx); err != nil {
		return err
	}
	s := tr.Stats()
	fmt.Println("reused", s.From[Reuse], "fetched", fetched(s), "hashed", s.Checked)
	if err := tr.Close(); err != nil {
		return err
	}
	cancel()
	if status, err := os.ReadFile("/proc/self/status"); err == nil { // Linux
		for line := range bytes.Lines(status) {
			if most, ok := bytes.CutPrefix(line, []byte("VmHWM:")); ok {
				fmt.Printf("memory %s", bytes.TrimLeft(most, "\t "))
			}
		}
	}
	return <-ran
}
