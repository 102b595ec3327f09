package delta

import (
	"bytes"
	"flag"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// drawBytes draws content: none, random, repetitive, or made from other content by edits.
func drawBytes(t *rapid.T, from []byte) []byte {
	random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	noise := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return b
	}
	n := rapid.OneOf(rapid.IntRange(0, 200), rapid.SampledFrom([]int{1, 2, 16384, 65535, 65536, 65537, 150000})).Draw(t, "n")
	switch rapid.IntRange(0, 5).Draw(t, "kind") {
	case 0:
		return noise(n)
	case 1:
		return bytes.Repeat(noise(1+random.IntN(9)), n/3+1)
	case 2: // permuted blocks
		var b []byte
		block := 1 + n/7
		blocks := len(from)/block + 1
		for _, i := range random.Perm(blocks) {
			b = append(b, from[min(i*block, len(from)):min((i+1)*block, len(from))]...)
		}
		return b
	case 3: // sparse changes, as when addresses move
		b := bytes.Clone(from)
		for i := 0; i < len(b); i += 1 + random.IntN(40) {
			b[i] += byte(1 + random.IntN(3))
		}
		return b
	case 4: // insertions and deletions
		b := bytes.Clone(from)
		for range 5 {
			at := random.IntN(len(b) + 1)
			cut := min(random.IntN(30), len(b)-at)
			b = append(append(bytes.Clone(b[:at]), noise(random.IntN(30))...), b[at+cut:]...)
		}
		return b
	}
	return from
}

// drawVersions draws two trees, the second in part made from the first.
func drawVersions(t *rapid.T) (old, new map[string][]byte) {
	old, new = map[string][]byte{}, map[string][]byte{}
	names := rapid.SampledFrom([]string{"a", "b", "c/d", "c/e", "f-1.0.so", "f-1.1.so", "g"})
	draw := func(label string, to map[string][]byte, from []byte) []byte {
		b := drawBytes(t, from)
		name := names.Draw(t, label)
		delete(to, name)
		delete(to, name+"@")
		if rapid.IntRange(0, 9).Draw(t, "symlink") == 0 {
			to[name+"@"] = []byte("x")
		} else {
			to[name] = b
		}
		return b
	}
	var last []byte
	for range rapid.IntRange(0, 5).Draw(t, "old files") {
		last = draw("old name", old, last)
	}
	for range rapid.IntRange(0, 5).Draw(t, "new files") {
		for _, name := range slices.Sorted(maps.Keys(old)) {
			if rapid.Bool().Draw(t, "from this") {
				last = old[name]
			}
		}
		last = draw("new name", new, last)
	}
	old["z"], new["z"] = []byte("content"), []byte("content") // a torrent needs some
	return old, new
}

// TestMain has a property tried 15 times, which with -race takes long enough, unless -rapid.checks says how often.
func TestMain(m *testing.M) {
	flag.Set("rapid.checks", "15")
	flag.Parse()
	os.Exit(m.Run())
}

// TestPatchLeadsToNew: apply(diff(a, b), a) = b, wherever sections end, and whatever the workers the patch is the same.
func TestPatchLeadsToNew(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		oldFiles, newFiles := drawVersions(t)
		old, new := version(t, dir, oldFiles), version(t, dir, newFiles)
		o := Options{Workers: 1, section: rapid.SampledFrom([]limits{{}, {}, {70000, 1 << 20, 1 << 20}, {1 << 20, 3000, 2000}}).Draw(t, "section")}
		patch := diff(t, old, new, o)
		mustApply(t, old, new, patch)
		o.Workers = 3
		if again := diff(t, old, new, o); !bytes.Equal(again, patch) {
			t.Fatal("another number of workers makes another patch")
		}
	})
}
