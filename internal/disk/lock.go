package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ErrHeld is matched by the error of LockDir when another process (or this one) holds the directory.
var ErrHeld = errors.New("directory is in use")

// HeldError says who holds a directory.
type HeldError struct {
	Dir string
	PID int // 0: not known, it has only just begun or has not the right to say
}

func (e *HeldError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("directory %s is in use by another shoal", e.Dir)
	}
	return fmt.Sprintf("directory %s is in use by process %d", e.Dir, e.PID)
}

func (e *HeldError) Is(target error) bool { return target == ErrHeld }

// DirLock is a directory held by this process.
type DirLock struct{ f *os.File }

// LockDir takes the directory for this process by a lock on the file "lock" in it. It does not wait: when somebody else has it the error is
// a *HeldError. The kernel drops the lock with the process, however that ends, so the file stays behind and means nothing by itself.
func LockDir(dir string) (*DirLock, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	held, err := tryLock(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	if held {
		pid := readPID(f)
		f.Close()
		return nil, &HeldError{Dir: dir, PID: pid}
	}
	// The number is for people; a failure to write it must not keep anybody from working on a full disk.
	if f.Truncate(0) == nil {
		f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return &DirLock{f}, nil
}

// Close gives the directory back.
func (l *DirLock) Close() error {
	l.f.Truncate(0) // so that nobody is named who is gone
	// Closing alone would leave it locked for as long as a child that is being started this moment still has the file, which it loses with its exec.
	return errors.Join(unlock(l.f), l.f.Close())
}

func readPID(f io.ReaderAt) int {
	b := make([]byte, 20)
	n, _ := f.ReadAt(b, 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}
