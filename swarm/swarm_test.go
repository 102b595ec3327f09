package swarm

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"shoal/piece"
)

// machine is a node on loopback with a listener of its own.
type machine struct {
	*Node
	addr string
	stop context.CancelFunc
	wg   sync.WaitGroup
}

func newMachine(t testing.TB, cfg Config) *machine {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return newMachineAt(t, cfg, ln)
}

func newMachineAt(t testing.TB, cfg Config, ln net.Listener) *machine {
	cfg.Port = ln.Addr().(*net.TCPAddr).Port
	if testing.Verbose() && os.Getenv("SHOAL_TEST_LOG") != "" {
		cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("node", cfg.Port)
	}
	m := &machine{Node: New(cfg), addr: ln.Addr().String()}
	ctx, cancel := context.WithCancel(context.Background())
	m.wg.Go(func() { m.Run(ctx) })
	m.wg.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			m.wg.Go(func() { m.HandleConn(ctx, nc) })
		}
	})
	m.stop = func() {
		cancel()
		ln.Close()
		m.wg.Wait()
	}
	t.Cleanup(m.stop)
	return m
}

// makeContent writes size random bytes and describes them.
func makeContent(t testing.TB, size int, c piece.BuildConfig) (*piece.Torrent, string, []byte) {
	t.Helper()
	b := randomBytes(size)
	tor, path := writeContent(t, filepath.Join(t.TempDir(), "release.bin"), b, c)
	return tor, path, b
}

func randomBytes(size int) []byte {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(size)}).Read(b)
	return b
}

func writeContent(t testing.TB, path string, b []byte, c piece.BuildConfig) (*piece.Torrent, string) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	tor, _, err := piece.Build(context.Background(), path, c)
	if err != nil {
		t.Fatal(err)
	}
	return tor, path
}

func wait(t testing.TB, tr *Transfer, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	if err := tr.Wait(ctx); err != nil {
		t.Fatalf("transfer: %v; %+v", err, tr.Stats())
	}
}

func sameFile(t testing.TB, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%s: %d bytes that differ from the %d wanted", path, len(got), len(want))
	}
}

func TestOneToOne(t *testing.T) {
	for _, f := range []piece.Format{piece.Hybrid, piece.V1, piece.V2} {
		t.Run(f.String(), func(t *testing.T) {
			tor, path, want := makeContent(t, 5<<20+12345, piece.BuildConfig{Format: f})
			origin := newMachine(t, Config{Role: RoleOrigin})
			if _, err := origin.Add(Spec{Torrent: tor, Content: path}); err != nil {
				t.Fatal(err)
			}
			m := newMachine(t, Config{})
			dir := t.TempDir()
			tr, err := m.Add(Spec{Torrent: tor, Dir: dir, Peers: []string{origin.addr}})
			if err != nil {
				t.Fatal(err)
			}
			wait(t, tr, 10*time.Second)
			sameFile(t, filepath.Join(dir, "release.bin"), want)
			s := tr.Stats()
			if s.From[Origin] != int64(len(want)) || s.Wasted != 0 {
				t.Errorf("from origin = %d, wasted = %d, want %d and 0", s.From[Origin], s.Wasted, len(want))
			}
			tr.Close()
			if left, _ := filepath.Glob(filepath.Join(dir, ".shoal-*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestCrowd(t *testing.T) {
	tor, path, want := makeContent(t, 16<<20, piece.BuildConfig{})
	origin := newMachine(t, Config{Role: RoleOrigin, LimitUp: 8 << 20})
	if _, err := origin.Add(Spec{Torrent: tor, Content: path}); err != nil {
		t.Fatal(err)
	}
	var ms []*machine
	var addrs []string
	for range 8 {
		m := newMachine(t, Config{})
		ms = append(ms, m)
		addrs = append(addrs, m.addr)
	}
	var trs []*Transfer
	for i, m := range ms {
		tr, err := m.Add(Spec{Torrent: tor, Dir: t.TempDir(), Peers: append([]string{origin.addr}, addrs[:i]...)})
		if err != nil {
			t.Fatal(err)
		}
		trs = append(trs, tr)
	}
	var sum int64
	for i, tr := range trs {
		wait(t, tr, 30*time.Second)
		sameFile(t, filepath.Join(tr.spec.Dir, "release.bin"), want)
		s := tr.Stats()
		sum += s.From[Origin]
		t.Log(i, fmt.Sprintf("%+v", s))
	}
	copies := float64(sum) / float64(len(want))
	t.Logf("origin copies %.3f", copies)
	if copies > 1.5 {
		t.Errorf("the origin sent %.2f copies, want about one", copies)
	}
}
