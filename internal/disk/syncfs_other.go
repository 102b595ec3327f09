//go:build !linux

package disk

import "errors"

// SyncFS is not there: sync file by file.
func SyncFS(string) error { return errors.ErrUnsupported }
