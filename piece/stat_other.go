//go:build !linux && !darwin && !freebsd

package piece

import (
	"io/fs"
	"os"
)

func inode(fs.FileInfo) uint64 { return 0 }

func isSparse(fs.FileInfo) bool { return false }

func isHole(*os.File, int64, int64) bool { return false }
