package memory

import "golang.org/x/sys/unix"

// populate is madvise(2), "MADV_POPULATE_WRITE", which leaves what is in b alone. Kernels before 5.14 refuse it: then pages come one by one.
func populate(b []byte) { unix.Madvise(b, unix.MADV_POPULATE_WRITE) }
