package disk

import (
	"fmt"
	"os"
)

// NoSpaceError is returned by Reserve when the file system has less room than was asked for. IsNoSpace knows it.
type NoSpaceError struct {
	Path       string
	Need, Free int64 // bytes
}

func (e *NoSpaceError) Error() string {
	return fmt.Sprintf("no space for %s: %d bytes needed, %d free", e.Path, e.Need, e.Free)
}

// Free returns how many bytes this user may still write to the file system that holds path, which must exist.
func Free(path string) (int64, error) {
	n, err := free(path)
	if err != nil {
		return 0, fmt.Errorf("free space at %s: %w", path, err)
	}
	return n, nil
}

// Allocated returns how many bytes of the disk an open file takes: less than its size if it has holes. Where that cannot be told it is the size.
func Allocated(f *os.File) int64 { return allocated(f) }

// Reserve makes sure that writing the range [off, off+n) of an open file will not run out of space, where the file system can promise that;
// elsewhere it only compares n with what is free. It leaves the file's size alone (FALLOC_FL_KEEP_SIZE), so that the size of an unfinished
// file says how far it was written and not how long it will be, and whoever copies it does not copy reserved zeros. When there is not enough
// room the error satisfies IsNoSpace and nothing stays reserved beyond the file's end.
func Reserve(f *os.File, off, n int64) error {
	if off < 0 || n < 0 {
		return fmt.Errorf("reserving %d bytes at %d of %s: negative", n, off, f.Name())
	}
	if n == 0 {
		return nil
	}
	// Asked first: a hopeless fallocate on ext4 takes all that is left, from everybody, before it fails. Blocks the file has already are
	// taken off, wherever they lie: that errs towards trying, and then the file system decides.
	if free, err := freeFor(f); err == nil && n-allocated(f) > free {
		return &NoSpaceError{Path: f.Name(), Need: n - allocated(f), Free: free}
	}
	if err := reserve(f, off, n); err != nil {
		return fmt.Errorf("reserving %d bytes for %s: %w", n, f.Name(), err)
	}
	return nil
}
