package swarm

import (
	"encoding/binary"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"shoal/piece"
)

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestTenThousandIdleSeeds: what nobody asks for costs next to nothing, wakes when asked for, and
// goes back to sleep.
func TestTenThousandIdleSeeds(t *testing.T) {
	const n = 10_000
	x := tree{"big": random(1<<20, 1)}
	tor, path := makeTree(t, x, piece.BuildConfig{PieceLength: 16 << 10})
	file := writeTorrent(t, tor)
	m := newMachine(t, Config{})
	before, goroutines := heap(), runtime.NumGoroutine()
	var loads atomic.Int64
	var last *Transfer
	for i := range n {
		spec := Spec{HasV1: true, HasV2: true, Content: path,
			Load: func() (*piece.Torrent, error) { loads.Add(1); return piece.ReadFile(file) }}
		binary.BigEndian.PutUint64(spec.V1[:], uint64(i))
		binary.BigEndian.PutUint64(spec.V2[:], uint64(i)+1<<32)
		if i == n-1 {
			spec.V1, spec.V2 = tor.V1, tor.V2
		}
		last = add(t, m, spec)
	}
	each := (int64(heap()) - int64(before)) / n
	t.Logf("%d bytes of heap for each idle seed, %d goroutines more", each, runtime.NumGoroutine()-goroutines)
	if each > 4<<10 { // 300 MiB for all is the goal: 30 KiB each
		t.Errorf("an idle seed costs %d bytes of heap", each)
	}
	if runtime.NumGoroutine() > goroutines+4 || loads.Load() > 0 {
		t.Errorf("%d goroutines more, %d torrents loaded", runtime.NumGoroutine()-goroutines, loads.Load())
	}
	got := add(t, newMachine(t, Config{}), Spec{Torrent: tor, Dir: t.TempDir(), Peers: []string{m.addr}})
	wait(t, got, 20*time.Second)
	x.equal(t, readTree(t, filepath.Join(got.spec.Dir, "tree")))
	got.Close()
	if loads.Load() != 1 {
		t.Errorf("%d torrents loaded, want the one that was asked for", loads.Load())
	}

	s, err := last.session()
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the end of its connection", func() bool { return last.Stats().Peers == 0 })
	s.do(func() { s.idleSince = s.idleSince.Add(-2 * idleTime) }) // as if it were later
	<-s.closed
	if last.Torrent() != nil {
		t.Error("asleep, and it remembers its torrent")
	}
	again := add(t, newMachine(t, Config{}), Spec{Torrent: tor, Dir: t.TempDir(), Peers: []string{m.addr}})
	wait(t, again, 20*time.Second)
	if loads.Load() != 2 {
		t.Errorf("%d torrents loaded, want it loaded again", loads.Load())
	}
}
