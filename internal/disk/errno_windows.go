package disk

import (
	"errors"

	"golang.org/x/sys/windows"
)

// IsNoSpace says whether an error means that the disk, or this user's quota on it, is full.
func IsNoSpace(err error) bool {
	var e *NoSpaceError
	return errors.As(err, &e) || errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) ||
		errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED)
}
