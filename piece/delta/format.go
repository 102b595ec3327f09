package delta

import (
	"errors"
	"fmt"
	"io"

	"shoal/piece"
)

var (
	// ErrBadPatch is wrapped by every error about a patch that is malformed, or says something else than was signed.
	ErrBadPatch = errors.New("bad patch")
	// ErrWrongOld is returned if a patch was made for another old version.
	ErrWrongOld = errors.New("the patch is for another old version")
)

func badf(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrBadPatch, fmt.Errorf(format, args...))
}

// readErr is for errors of the reader of the patch: that it ended is the patch's fault, the rest is not.
func readErr(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return badf("it ends too early")
	}
	return fmt.Errorf("reading the patch: %w", err)
}

const (
	magic      = "shoal delta 4\n"
	maxInfo    = 16 << 20 // as much as piece.ParseInfo takes
	smallBytes = 1 << 20  // files shorter than this come first in a patch
)

// order is in which order a patch has the new files: first the small ones, which are matched together, then each of the others; within both as in the Info.
func order(new *piece.Info, c *Changes) []int {
	var small, large []int
	for i := range new.Files {
		switch {
		case !c.needsBytes(new, i):
		case new.Files[i].Length < smallBytes:
			small = append(small, i)
		default:
			large = append(large, i)
		}
	}
	return append(small, large...)
}

// begin is where the ops of a new file begin: the first copy costs least if it is from the beginning of the old file at the same path.
func begin(c *Changes, old space, file int) track {
	if j := c.Files[file].Old; j >= 0 {
		return track{end: old.start[j]}
	}
	return track{}
}
