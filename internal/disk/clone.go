package disk

import (
	"context"
	"fmt"
	"io"
	"os"
)

// cloneStep is how much is copied between two looks at the context.
const cloneStep = 8 << 20

// Clone makes [dstOff, dstOff+n) of dst equal to [srcOff, srcOff+n) of src. Where the file system can (btrfs, XFS, bcachefs, APFS not yet) and
// the offsets suit its blocks, the two share their blocks and no data moves: shared is then true. Otherwise the bytes are copied, in the
// kernel where possible. The files' own offsets are neither used nor moved. A src that ends early is io.ErrUnexpectedEOF; what was written
// until then stays. dst is not synced.
func Clone(ctx context.Context, dst, src *os.File, dstOff, srcOff, n int64) (shared bool, err error) {
	if dstOff < 0 || srcOff < 0 || n < 0 {
		return false, fmt.Errorf("cloning %d bytes at %d to %d: negative", n, srcOff, dstOff)
	}
	if n == 0 {
		return false, nil
	}
	// A reflink that ends behind the source's end would be refused as unaligned, or succeed short: say the right thing first.
	fi, err := src.Stat()
	if err != nil {
		return false, err
	}
	if fi.Size()-srcOff < n {
		return false, fmt.Errorf("cloning %s: %w", src.Name(), io.ErrUnexpectedEOF)
	}
	if reflink(dst, src, dstOff, srcOff, n) == nil {
		return true, nil
	}
	inKernel := true
	var buf []byte
	for n > 0 {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		step := min(n, cloneStep)
		var m int64
		if inKernel {
			if m, err = copyRange(dst, src, dstOff, srcOff, step); err != nil && !IsNoSpace(err) {
				inKernel = false // EXDEV, EINVAL, ENOSYS …: whatever it is, plain reading and writing will tell
				continue
			}
		} else {
			if buf == nil {
				buf = make([]byte, 256<<10)
			}
			m, err = io.CopyBuffer(io.NewOffsetWriter(dst, dstOff), io.NewSectionReader(src, srcOff, step), buf)
		}
		if err != nil {
			return false, fmt.Errorf("copying from %s to %s: %w", src.Name(), dst.Name(), err)
		}
		if m == 0 {
			return false, fmt.Errorf("copying from %s: %w", src.Name(), io.ErrUnexpectedEOF)
		}
		dstOff, srcOff, n = dstOff+m, srcOff+m, n-m
	}
	return false, nil
}
