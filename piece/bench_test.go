package piece

import (
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// The measure of Build is BenchmarkHashLoop times the cores, and mktorrent -t 2 -l 20 for v1:
//
//	go test -run - -bench 'HashLoop|Build' ./piece/

const benchBytes = 1 << 30

// BenchmarkHashLoop is what one core hashes when it does nothing else.
func BenchmarkHashLoop(b *testing.B) {
	block := pattern(BlockSize, 1)
	for name, kind := range map[string]int{"sha1": 1, "sha256": 2, "both": 3} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(BlockSize)
			h := sha1.New()
			for b.Loop() {
				if kind&1 != 0 {
					h.Write(block)
				}
				if kind&2 != 0 {
					_ = sha256.Sum256(block)
				}
			}
		})
	}
}

// benchFile is a file of benchBytes that is in the page cache.
func benchFile(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "f")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	chunk := pattern(1<<20, 1)
	for i := range benchBytes >> 20 {
		chunk[0] = byte(i)
		if _, err := f.Write(chunk); err != nil {
			b.Fatal(err)
		}
	}
	return path
}

func benchmarkBuild(b *testing.B, format Format) {
	path := benchFile(b)
	b.SetBytes(benchBytes)
	b.ReportAllocs()
	for b.Loop() {
		build(b, path, BuildConfig{Format: format, PieceLength: 1 << 20})
	}
}

func BenchmarkBuildHybrid(b *testing.B) { benchmarkBuild(b, Hybrid) }
func BenchmarkBuildV1(b *testing.B)     { benchmarkBuild(b, V1) }
func BenchmarkBuildV2(b *testing.B)     { benchmarkBuild(b, V2) }

// BenchmarkBuildSmallFiles builds 50,000 files of 4 KiB.
func BenchmarkBuildSmallFiles(b *testing.B) {
	root := filepath.Join(b.TempDir(), "many")
	data := pattern(4<<10, 1)
	for i := range 50000 {
		data[0], data[1] = byte(i), byte(i>>8)
		put(b, filepath.Join(root, fmt.Sprintf("dir%03d", i/100), fmt.Sprintf("file%05d", i)), data)
	}
	for _, format := range []Format{V1, V2, Hybrid} {
		b.Run(format.String(), func(b *testing.B) {
			b.SetBytes(50000 * int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				build(b, root, BuildConfig{Format: format})
			}
		})
	}
}
