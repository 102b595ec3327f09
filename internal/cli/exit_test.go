package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"shoal/internal/deliver"
	"shoal/internal/disk"
	"shoal/piece"
)

func TestExplain(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, portInUse := net.Listen("tcp", taken.Addr().String())
	_, notOurs := net.Listen("tcp", "203.0.113.5:0") // RFC 5737: nobody's
	_, notFound := os.Open(filepath.Join(t.TempDir(), "none"))
	_, dialError := net.Dial("tcp", "127.0.0.1:1")

	for _, tt := range []struct {
		name string
		err  error
		code int
		rule string
		hint string
	}{
		{"usage", usagef("do this", "wrong"), 2, "usage", "do this"},
		{"source", &deliver.Error{Kind: deliver.ErrSource, Message: "no", Hint: "magnet"}, 2, "source", "magnet"},
		{"no source", &deliver.Error{Kind: deliver.ErrNoSource, Message: "no"}, 3, "no-source", ""},
		{"bad torrent", fmt.Errorf("x: %w", piece.ErrBadTorrent), 4, "bad-torrent", "fetch it again"},
		{"corrupt", fmt.Errorf("x: %w", piece.ErrCorrupt), 4, "corrupt", ""},
		{"deadline", deliver.ErrDeadline, 6, "deadline", ""},
		{"stalled with something to keep", &deliver.Error{Kind: deliver.ErrStalled, Message: "no", Hint: "run it again"}, 6, "stalled", "run it again"},
		{"not found", notFound, 7, "not-found", "path"},
		{"port in use", portInUse, 7, "port-in-use", "--listen"},
		{"an address of another machine", notOurs, 7, "io", "this machine has"},
		{"disk full", &fs.PathError{Op: "write", Path: "f", Err: syscall.ENOSPC}, 7, "disk-full", "make room"},
		{"disk full, reserved", &disk.NoSpaceError{Path: "f"}, 7, "disk-full", "make room"},
		{"no permission", &fs.PathError{Op: "open", Path: "f", Err: syscall.EACCES}, 7, "permission", "may use"},
		{"read-only", &fs.PathError{Op: "open", Path: "f", Err: syscall.EROFS}, 7, "permission", "read-only"},
		{"in the way", &fs.PathError{Op: "placing content", Path: "f", Err: syscall.EISDIR}, 7, "exists", "move away"},
		{"in the way of a directory", &fs.PathError{Op: "placing content", Path: "f", Err: fmt.Errorf("a symbolic link is there, %w", syscall.ENOTDIR)}, 7, "exists", "move away"},
		{"other I/O", &fs.PathError{Op: "read", Path: "f", Err: syscall.EIO}, 7, "io", "disk"},
		{"held", &disk.HeldError{Dir: "d"}, 8, "held", "wait"},
		{"Ctrl-C in a delivery", deliver.ErrInterrupted, 130, "interrupted", "run it again"},
		{"Ctrl-C", context.Canceled, 130, "interrupted", ""},
		{"Ctrl-C with a hint", interruptible(context.Canceled, "nothing was written"), 130, "interrupted", "nothing was written"},
		{"refused by another machine", dialError, 1, "unexpected", ""},
		{"anything else", errors.New("x"), 1, "unexpected", ""},
	} {
		got := explain(tt.err)
		if got.code != tt.code || got.rule != tt.rule || !strings.Contains(got.hint, tt.hint) || tt.hint == "" && got.hint != "" {
			t.Errorf("%s (%v): got %+v, want %d %s with hint %q", tt.name, tt.err, got, tt.code, tt.rule, tt.hint)
		}
	}
}

func TestFailIsOneLine(t *testing.T) {
	var stdout, stderr bytes.Buffer
	e := &env{stdout: &stdout, stderr: &stderr, lookupEnv: variables()}
	e.report = newReporter(e, false, true)
	if code := e.fail(withHint(errors.New("two\nlines\x1b[0m\n"), "look")); code != 1 {
		t.Errorf("code %d, want 1", code)
	}
	if want := "shoal: two\\x0alines\\x1b[0m — look\n"; stderr.String() != want || stdout.Len() > 0 {
		t.Errorf("got %q and on stdout %q, want %q", &stderr, &stdout, want)
	}

	stderr.Reset()
	e.report = newReporter(e, true, false)
	e.fail(usagef("look", "wrong"))
	var object map[string]any
	if err := json.Unmarshal(stdout.Bytes(), &object); err != nil || stderr.Len() > 0 {
		t.Fatalf("got %q and on stderr %q, want one object: %v", &stdout, &stderr, err)
	}
	for key, want := range map[string]any{"event": "error", "code": 2.0, "rule": "usage", "message": "wrong", "hint": "look"} {
		if object[key] != want {
			t.Errorf("%s = %v, want %v", key, object[key], want)
		}
	}
}

// Errors that were joined are told one after the other, and once.
func TestJoinedErrorsAreOneSentence(t *testing.T) {
	full := &fs.PathError{Op: "write", Path: "f", Err: syscall.ENOSPC}
	for _, c := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("making f: %w", errors.Join(full, nil, full)), "making f: write f: no space left on device"},
		{withHint(errors.Join(errors.New("one"), fmt.Errorf("two: %w", errors.Join(full, errors.New("three")))), "look"), "one; two: write f: no space left on device; three"},
		{fmt.Errorf("%w: %w", errors.Join(full, full), fs.ErrExist), "write f: no space left on device: file already exists"},
		{errors.New("as\nit is"), "as\nit is"}, // not ours: it is escaped
	} {
		if got := sentence(c.err); got != c.want {
			t.Errorf("%q: got %q, want %q", c.err, got, c.want)
		}
	}
}

// A bug of ours is one line and exit code 1, not a stack trace.
func TestPanicIsOneLine(t *testing.T) {
	var stderr bytes.Buffer
	e := &env{stdout: &bytes.Buffer{}, stderr: &stderr, lookupEnv: func(name string) (string, bool) {
		if name == "SHOAL_QUIET" {
			panic("a bug")
		}
		return "", false
	}}
	if code := e.main(t.Context(), []string{"shoal", "version"}); code != 1 || stderr.String() != "shoal: bug: a bug\n" {
		t.Errorf("got code %d, %q, want 1 and one line", code, &stderr)
	}
}

// A context that ended before the work began leaves nothing, too.
func TestCanceledBeforeItBegan(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.WriteFile("f", []byte("content"), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stderr bytes.Buffer
	e := &env{stdout: &bytes.Buffer{}, stderr: &stderr, lookupEnv: variables()}
	if code := e.main(ctx, []string{"shoal", "create", "f"}); code != 130 {
		t.Errorf("code %d, %q, want 130", code, &stderr)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("%d files left, want the one that was there", len(left))
	}
}
