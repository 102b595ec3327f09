package disk

import (
	"fmt"
	"io/fs"
	"os"
)

// Stamp tells one state of a file from another without reading it. A file whose stamp is the one recorded when it was hashed still has the
// same bytes, as far as a file system can know: writing moves mtime, and setting mtime back moves ctime.
//
// What it cannot see: two writes within one tick of the file system's clock (up to 10 ms on ext4) when the first came just before the stamp
// was taken, writes through a memory mapping that are not yet flushed, and a raw device written behind the file system's back.
type Stamp struct {
	Size    int64
	MtimeNs int64  // since 1970
	CtimeNs int64  // of the last change of inode or content; 0 where there is none (Windows)
	Inode   uint64 // 0 on Windows
}

// StampOf takes the stamp of an open file, so that what is compared and what is read are the same file whatever happens to the name.
func StampOf(f *os.File) (Stamp, error) {
	fi, err := f.Stat()
	if err != nil {
		return Stamp{}, fmt.Errorf("stamp of %s: %w", f.Name(), err)
	}
	return StampOfInfo(fi), nil
}

// StampOfInfo takes the stamp out of what os.Stat, os.Lstat or File.Stat returned.
func StampOfInfo(fi fs.FileInfo) Stamp {
	s := Stamp{Size: fi.Size(), MtimeNs: fi.ModTime().UnixNano()}
	s.CtimeNs, s.Inode = change(fi)
	return s
}

// Equal says whether both are the same state of the same file. The zero Stamp equals nothing, not even itself: it is one that was never taken.
func (s Stamp) Equal(t Stamp) bool { return s == t && s != Stamp{} }
