package sock

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// pair is the two ends of a connection over loopback.
func pair(t *testing.T) (a, b net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if a, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	if b, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return a, b
}

// A file goes out behind its head, from where it was asked for, also when it is more than a socket takes at once and its reader wants to
// be woken for much only.
func TestFileGoesOut(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	a, b := pair(t)
	BoundUnsent(a, 64<<10)
	WakeBound(b, 64<<10)
	var g errgroup.Group
	g.Go(func() error {
		defer a.Close()
		ok, err := SendFile(a, []byte("head"), f, 7, int64(len(content)-7))
		if err == nil && !ok {
			err = errors.New("not possible")
		}
		return err
	})
	got, err := io.ReadAll(b)
	if err := errors.Join(err, g.Wait()); err != nil {
		t.Fatal(err)
	}
	if want := append([]byte("head"), content[7:]...); !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, want the head and the file's %d from its seventh on", len(got), len(content)-7)
	}
}

// A file that is shorter than what is asked for is an error.
func TestFileThatEndsTooEarly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	a, _ := pair(t)
	if ok, err := SendFile(a, nil, f, 0, 100); !ok || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("100 bytes of a file of 5: %v, %v; want an unexpected end", ok, err)
	}
}

// What a connection would have to encrypt does not go past it.
func TestOnlyPlainConnectionsTakeFiles(t *testing.T) {
	a, _ := pair(t)
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if ok, err := SendFile(struct{ net.Conn }{a}, nil, f, 0, 1); ok || err != nil {
		t.Errorf("got %v, %v: want that it cannot be", ok, err)
	}
}

// Which congestion control paces is read from the connection.
func TestPaced(t *testing.T) {
	a, _ := pair(t)
	for _, c := range []struct {
		name  string
		paced bool
	}{{"reno", false}, {"bbr", true}} {
		var err error
		Control(a, func(fd int) { err = unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, c.name) })
		if errors.Is(err, unix.ENOENT) { // every kernel has reno, not every one bbr
			t.Logf("no %s here", c.name)
			continue
		}
		if err != nil || Paced(a) != c.paced {
			t.Errorf("%s: %v, paced %v, want %v", c.name, err, Paced(a), c.paced)
		}
	}
}
