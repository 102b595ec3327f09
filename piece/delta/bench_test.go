package delta

import (
	"bytes"
	"io"
	"os"
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
