//go:build unix

package disk

import (
	"os"
	"syscall"
)

// SameDevice says whether two directories lie on the same file system, without which no rename leads from one to the other; of two mounts of one it does
// not, either, which is not seen here. Where nothing can be told it is true.
func SameDevice(a, b string) bool {
	device := func(dir string) (d uint64, ok bool) {
		fi, err := os.Stat(dir)
		if err != nil {
			return 0, false
		}
		st, ok := fi.Sys().(*syscall.Stat_t)
		if !ok {
			return 0, false
		}
		return uint64(st.Dev), true
	}
	x, okX := device(a)
	y, okY := device(b)
	return !okX || !okY || x == y
}
