//go:build !linux

package disk

import (
	"errors"
	"os"
)

func reflink(dst, src *os.File, dstOff, srcOff, n int64) error { return errors.ErrUnsupported }

func copyRange(dst, src *os.File, dstOff, srcOff, n int64) (int64, error) {
	return 0, errors.ErrUnsupported
}
