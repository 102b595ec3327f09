package delta

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"index/suffixarray"
	"io"
	"reflect"
)

// suffixArray returns the offsets of all suffixes of b in the order of the suffixes. b must be shorter than 2 GiB. It takes 4 bytes of memory for each byte
// of b.
//
// The standard library has a very good SA-IS but no way to get at the array, other than writing the index to a stream, whose format it has to
// keep because old files must stay readable. That takes as much memory again, so the array is looked for in the index first; a Go that has it
// elsewhere costs memory, and a test says so.
func suffixArray(b []byte) ([]int32, error) {
	index := suffixarray.New(b)
	if sa, ok := arrayOf(index); ok && len(sa) == len(b) {
		return sa, nil
	}
	return writtenArray(index, len(b))
}

// arrayOf is the array in an index.
func arrayOf(index *suffixarray.Index) ([]int32, bool) {
	sa := reflect.ValueOf(index).Elem().FieldByName("sa")
	if sa.Kind() != reflect.Struct {
		return nil, false
	}
	array := sa.FieldByName("int32")
	if !array.IsValid() || array.Type() != reflect.TypeFor[[]int32]() {
		return nil, false
	}
	return *(*[]int32)(array.Addr().UnsafePointer()), true
}

// writtenArray is the array that an index of n bytes writes.
func writtenArray(index *suffixarray.Index, n int) ([]int32, error) {
	r, w := io.Pipe()
	go func() { w.CloseWithError(index.Write(w)) }()
	defer r.Close()
	return readSuffixArray(bufio.NewReaderSize(r, 64<<10), n)
}

// readSuffixArray reads what suffixarray.Index.Write wrote: the length in a field of ten bytes, the n bytes themselves, and the array in blocks of
// varints, each block behind its own length, which counts its field.
func readSuffixArray(r *bufio.Reader, n int) ([]int32, error) {
	if _, err := r.Discard(binary.MaxVarintLen64 + n); err != nil {
		return nil, fmt.Errorf("reading a suffix array: %w", err)
	}
	sa := make([]int32, 0, n)
	var field [binary.MaxVarintLen64]byte
	for len(sa) < n {
		if _, err := io.ReadFull(r, field[:]); err != nil {
			return nil, fmt.Errorf("reading a suffix array: %w", err)
		}
		size, _ := binary.Varint(field[:])
		for left := size - int64(len(field)); left > 0; {
			v, err := binary.ReadUvarint(r)
			if err != nil {
				return nil, fmt.Errorf("reading a suffix array: %w", err)
			}
			sa = append(sa, int32(v))
			left -= uvarintLen(v)
		}
	}
	return sa, nil
}

func uvarintLen(v uint64) int64 {
	var b [binary.MaxVarintLen64]byte
	return int64(binary.PutUvarint(b[:], v))
}
