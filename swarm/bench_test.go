//go:build unix

package swarm

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"shoal/piece"
	"shoal/swarm/wire"
)

// scratch is a directory in memory where there is one, so that benchmarks measure us and not a disk.
func scratch(b *testing.B) string {
	dir, err := os.MkdirTemp("/dev/shm", "shoal-bench-")
	if err != nil {
		return b.TempDir()
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func cpuSeconds() float64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// One seed, one leecher, in one process over loopback: how fast content moves, and what it costs
// both ends together.
func BenchmarkOneToOne(b *testing.B) {
	const size = 256 << 20
	for _, f := range []piece.Format{piece.Hybrid, piece.V1} {
		b.Run(f.String(), func(b *testing.B) {
			dir := scratch(b)
			tor, path, leaves := benchContent(b, dir, size, piece.BuildConfig{Format: f, PieceLength: 1 << 20})
			origin := newMachine(b, Config{Role: RoleOrigin})
			if _, err := origin.Add(Spec{Torrent: tor, Content: path, Leaves: leaves}); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(size)
			cpu := cpuSeconds()
			for b.Loop() {
				m := newMachine(b, Config{})
				out := filepath.Join(dir, "out")
				tr, err := m.Add(Spec{Torrent: tor, Dir: out, Peers: []string{origin.addr}})
				if err != nil {
					b.Fatal(err)
				}
				wait(b, tr, time.Minute)
				m.stop()
				os.RemoveAll(out)
			}
			b.ReportMetric((cpuSeconds()-cpu)/float64(b.N)/(float64(size)/(1<<30)), "cpu-s/GiB")
		})
	}
}

// The same with every connection encrypted.
func BenchmarkEncrypted(b *testing.B) {
	const size = 256 << 20
	dir := scratch(b)
	tor, path, leaves := benchContent(b, dir, size, piece.BuildConfig{PieceLength: 1 << 20})
	for _, e := range []Encryption{EncryptionOff, EncryptionRequire} {
		b.Run(e.String(), func(b *testing.B) {
			origin := newPortMachine(b, Config{Role: RoleOrigin, Encryption: e})
			if _, err := origin.Add(Spec{Torrent: tor, Content: path, Leaves: leaves}); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(size)
			cpu := cpuSeconds()
			for b.Loop() {
				m := newPortMachine(b, Config{Encryption: e})
				out := filepath.Join(dir, "out")
				tr, err := m.Add(Spec{Torrent: tor, Dir: out, Peers: []string{origin.addr}})
				if err != nil {
					b.Fatal(err)
				}
				wait(b, tr, time.Minute)
				m.stop()
				os.RemoveAll(out)
			}
			b.ReportMetric((cpuSeconds()-cpu)/float64(b.N)/(float64(size)/(1<<30)), "cpu-s/GiB")
		})
	}
}

// benchContent is makeContent below dir, with the leaves that an origin keeps.
func benchContent(b *testing.B, dir string, size int, c piece.BuildConfig) (*piece.Torrent, string, string) {
	b.Helper()
	leaves := ""
	if c.Format != piece.V1 {
		f, err := os.Create(filepath.Join(dir, "leaves"))
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		c.Leaves, leaves = f, f.Name()
	}
	tor, path := writeContent(b, filepath.Join(dir, "release.bin"), randomBytes(size), c)
	return tor, path, leaves
}

// Ten MiB from nothing to files in place: what a transfer costs besides its bytes.
func BenchmarkSmall(b *testing.B) {
	const size = 10 << 20
	dir := scratch(b)
	tor, path, leaves := benchContent(b, dir, size, piece.BuildConfig{PieceLength: 256 << 10})
	origin := newMachine(b, Config{Role: RoleOrigin})
	if _, err := origin.Add(Spec{Torrent: tor, Content: path, Leaves: leaves}); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	for b.Loop() {
		m := newMachine(b, Config{})
		out := filepath.Join(dir, "out")
		tr, err := m.Add(Spec{Torrent: tor, Dir: out, Peers: []string{origin.addr}})
		if err != nil {
			b.Fatal(err)
		}
		wait(b, tr, time.Minute)
		m.stop()
		os.RemoveAll(out)
	}
}

// nothing is content of zeros of any length, which is written for nothing.
type nothing struct{}

func (nothing) ReadAt(b []byte, off int64) error { clear(b); return nil }
func (nothing) WriteAt([]byte, int64) error      { return nil }
func (nothing) Close() error                     { return nil }

// The loop's own work: 50,000 pieces from forty peers that have two thirds of them each, with a
// tick for each hundred blocks.
func BenchmarkManyPieces(b *testing.B) {
	const pieces, size = 50_000, 16 << 10
	path := filepath.Join(b.TempDir(), "zeros")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	f.Truncate(pieces * size)
	f.Close()
	tor, _, err := piece.Build(b.Context(), path, piece.BuildConfig{Format: piece.V1, PieceLength: size})
	if err != nil {
		b.Fatal(err)
	}
	zeros := make([]byte, size)
	for b.Loop() {
		x := newBench(tor, nil)
		x.store = nothing{}
		var conns []*conn
		for i := range 40 {
			c := x.peer(byte(1 + i))
			bits := make([]byte, (pieces+7)/8)
			for p := range pieces {
				if (p+i)%3 > 0 {
					bits[p/8] |= 0x80 >> (p % 8)
				}
			}
			x.handle(c, &wire.Message{Type: wire.Bitfield, Payload: bits})
			x.handle(c, &wire.Message{Type: wire.Unchoke})
			conns = append(conns, c)
		}
		now := time.Now()
		for n := 0; !x.complete(); n++ {
			c := conns[n%len(conns)]
			if q := c.oldest(); q != nil && x.take(q) != nil {
				x.arrived(c, q, x.ingest(q.op, q.begin, zeros))
			}
			for more := true; more; {
				select {
				case f := <-x.inbox:
					f()
				default:
					more = false
				}
			}
			if n%100 == 0 {
				now = now.Add(tickTime)
				x.meterTick(now)
				x.snub(time.Now())
				x.loosen(now)
				for _, c := range x.conns {
					c.dry = false
					x.fill(c)
				}
				x.steal(time.Now())
				x.fresh = x.fresh[:0]
			}
		}
		x.stop()
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/pieces, "µs/piece")
}
