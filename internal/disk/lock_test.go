package disk

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("SHOAL_TEST_HOLD"); dir != "" { // a child that holds a directory until its stdin ends
		if _, err := LockDir(dir); err != nil {
			os.Stdout.WriteString(err.Error())
			os.Exit(1)
		}
		os.Stdout.WriteString("held\n")
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestLockDirNamesTheHolder(t *testing.T) {
	dir := t.TempDir()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "SHOAL_TEST_HOLD="+dir)
	in, _ := child.StdinPipe()
	out, _ := child.StdoutPipe()
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 100)
	if n, _ := out.Read(line); !strings.HasPrefix(string(line[:n]), "held") {
		t.Fatalf("the child said %q", line[:n])
	}

	_, err := LockDir(dir)
	var held *HeldError
	if !errors.As(err, &held) || !errors.Is(err, ErrHeld) || held.PID != child.Process.Pid {
		t.Errorf("LockDir of a held directory = %v, want a HeldError with process %d", err, child.Process.Pid)
	}

	// kill -9: the kernel gives the directory back although the file and the number in it stay.
	child.Process.Kill()
	in.Close()
	child.Wait()
	l, err := LockDir(dir)
	if err != nil {
		t.Fatalf("LockDir after the holder was killed = %v", err)
	}
	if _, err := LockDir(dir); !errors.As(err, &held) || held.PID != os.Getpid() {
		t.Errorf("second LockDir in one process = %v, want a HeldError with our own process %d", err, os.Getpid())
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, err = LockDir(dir)
	if err != nil {
		t.Fatalf("LockDir after Close = %v", err)
	}
	l.Close()
}

func TestLockDirOfMissingDirectoryIsNotHeld(t *testing.T) {
	_, err := LockDir(t.TempDir() + "/none")
	if err == nil || errors.Is(err, ErrHeld) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("LockDir of a missing directory = %v, want not exist", err)
	}
}
