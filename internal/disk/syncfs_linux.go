package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

// SyncFS makes everything on the file system that holds path durable. For thousands of small files that is one wait instead of thousands.
func SyncFS(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}
