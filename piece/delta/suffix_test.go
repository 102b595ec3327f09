package delta

import (
	"context"
	"index/suffixarray"
	"slices"
	"testing"
)

// Where this fails a new Go has its suffix array elsewhere: patches are the same, but take more memory (bytesPerOld).
func TestSuffixArrayIsFoundInItsIndex(t *testing.T) {
	b := pattern(100_000, 1)
	index := suffixarray.New(b)
	found, ok := arrayOf(index)
	if !ok {
		t.Fatal("it is not where it was")
	}
	written, err := writtenArray(index, len(b))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(found, written) {
		t.Error("it is another one than the index writes")
	}
}

// A sort that nobody waits for any more does no harm to those who do.
func TestSortIsNotWaitedFor(t *testing.T) {
	old := pattern(4<<20, 1)
	x := newIndex(old)
	gone, leave := context.WithCancel(t.Context())
	leave()
	if err := x.sort(gone, func() {}); err != context.Canceled {
		t.Errorf("got %v, want that it was cancelled", err)
	}
	if err := x.sort(t.Context(), func() {}); err != nil {
		t.Fatal(err)
	}
	if pos, n := x.longest(old[1000:2000]); pos != 1000 || n != 1000 {
		t.Errorf("found %d bytes at %d, want the 1000 at 1000", n, pos)
	}
}
