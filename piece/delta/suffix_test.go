package delta

import (
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
