package disk

import "io/fs"

func change(fs.FileInfo) (ctimeNs int64, inode uint64) { return 0, 0 }
