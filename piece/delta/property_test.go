package delta

import (
	"bytes"
	"flag"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
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

// TestHugePatchLeadsToNew is the property for a file that is six times as long as what is looked at in one part: what was beside each other has changed places,
// bytes have changed, and repeats and noise were added. 128 MiB of memory are to it what the default is to a file of a gigabyte.
func TestHugePatchLeadsToNew(t *testing.T) {
	if !slices.Contains(strings.Split(os.Getenv("SHOAL_REQUIRE"), ","), "long") {
		t.Skip("SHOAL_REQUIRE=long runs it, for most of a minute")
	}
	const size, block = 48 << 20, 64 << 10
	random := rand.NewChaCha8([32]byte{1})
	before := make([]byte, size)
	random.Read(before)
	added := make([]byte, 1<<20)
	random.Read(added)
	after := bytes.Repeat([]byte("again "), 200_000)
	for i := 0; i < size; i += 2 * block {
		after = append(append(after, before[i+block:i+2*block]...), before[i:i+block]...)
	}
	for i := 0; i < len(after); i += 5000 {
		after[i]++
	}
	after = append(after, added...)
	dir := t.TempDir()
	old, new := version(t, dir, map[string][]byte{"huge": before}), version(t, dir, map[string][]byte{"huge": after})
	patch := diff(t, old, new, Options{Memory: 128 << 20})
	mustApply(t, old, new, patch)
	// What was at the end of a part is outside of what is looked at for the sake of it.
	if most := len(added) + size/40; len(patch) > most {
		t.Errorf("a patch of %d bytes, want %d at most", len(patch), most)
	}
}
