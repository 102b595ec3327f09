package delta

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"io"
	"os"
	"strconv"
	"testing"
)

// benchTrees are two versions in the directories that SHOAL_DELTA_OLD and SHOAL_DELTA_NEW name, or else what looks a little like a recompiled program.
func benchTrees(b *testing.B) (old, new Tree) {
	b.Helper()
	if dir := os.Getenv("SHOAL_DELTA_OLD"); dir != "" {
		return describe(b, dir), describe(b, os.Getenv("SHOAL_DELTA_NEW"))
	}
	program := pattern(8<<20, 1)
	again := bytes.Clone(program)
	for i := 100; i < len(again); i += 90 {
		again[i] += 16
	}
	dir := b.TempDir()
	return version(b, dir, map[string][]byte{"program": program}), version(b, dir, map[string][]byte{"program": append(again, "more"...)})
}

func BenchmarkDiff(b *testing.B) {
	old, new := benchTrees(b)
	for b.Loop() {
		s, err := Diff(ctx, old, new, io.Discard, Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(s.PatchedBytes)
		b.ReportMetric(100*float64(s.Bytes)/float64(new.Info.Length), "%-of-new")
	}
}

func BenchmarkApply(b *testing.B) {
	old, new := benchTrees(b)
	patch := diff(b, old, new, Options{})
	b.ReportAllocs()
	for b.Loop() {
		var c counted
		if err := Apply(ctx, old, bytes.NewReader(patch), wanted(new.Info), &c); err != nil {
			b.Fatal(err)
		}
		b.SetBytes(c.n)
	}
}

// BenchmarkDiffUnlike is what content costs that has nothing in common with what was at its path but, in the last case, its words: most patches of such are given
// up in the end, but not before they are made.
func BenchmarkDiffUnlike(b *testing.B) {
	const n = 8 << 20
	random := func(seed byte) []byte { return pattern(n, seed) }
	text := func(seed byte) []byte { return base64.StdEncoding.AppendEncode(nil, random(seed)[:n/4*3]) }
	words := func(seed byte) (s []byte) {
		for noise := random(seed); len(s) < n; noise = noise[2:] {
			s = strconv.AppendUint(append(s, " word"...), uint64(binary.LittleEndian.Uint16(noise)>>2), 36)
		}
		return s
	}
	for _, c := range []struct {
		name string
		make func(seed byte) []byte
	}{
		{"random", random},
		{"base64", text},
		{"words", words},
	} {
		b.Run(c.name, func(b *testing.B) {
			dir := b.TempDir()
			old, new := version(b, dir, map[string][]byte{"file": c.make(1)}), version(b, dir, map[string][]byte{"file": c.make(2)})
			for b.Loop() {
				s, err := Diff(ctx, old, new, io.Discard, Options{Workers: 1})
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(s.PatchedBytes)
				b.ReportMetric(100*float64(s.Bytes)/float64(new.Info.Length), "%-of-new")
			}
		})
	}
}
