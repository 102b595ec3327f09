//go:build !windows

package disk

import (
	"errors"
	"os"
	"syscall"
)

// SyncDir makes the names in a directory durable: files created, renamed or removed there before the call stay so after a power loss.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	// Some network and FUSE file systems cannot sync a directory and say EINVAL: they have nothing better to offer.
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}
