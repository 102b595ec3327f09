package port

import (
	"context"
	"fmt"
	"io"
	nethttp "net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// runAsChild serves the file that a test has named, if this process is its child.
func runAsChild() bool {
	path := os.Getenv("SHOAL_TEST_SERVE")
	if path != "" {
		sockets, _ = strconv.Atoi(os.Getenv("SHOAL_TEST_SOCKETS"))
		serveFile(path)
	}
	return path != ""
}

// serveFile is the child: a port whose HTTP serves one file until stdin ends.
func serveFile(path string) {
	ctx, cancel := context.WithCancel(context.Background())
	p, err := listenAs(ctx, "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	go nethttp.Serve(p.HTTP(), nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		f, err := os.Open(path)
		if err != nil {
			nethttp.Error(w, err.Error(), 500)
			return
		}
		defer f.Close()
		nethttp.ServeContent(w, r, "", time.Time{}, f)
	}))
	go func() { io.Copy(io.Discard, os.Stdin); cancel() }()
	fmt.Printf("http://%s/\n", p.Addr())
	p.Run(ctx, Handlers{Quick: quick(new(atomic.Int64))})
}

// The whole point of replaying by embedding: the file goes from the page cache to the socket in the kernel. The system calls of a child are
// watched, because wrapping a connection or a ResponseWriter the wrong way switches sendfile off without any other sign.
func TestHTTPThroughThePortUsesSendfile(t *testing.T) {
	const size = 8 << 20
	strace, err := exec.LookPath("strace")
	if err != nil {
		skipUnlessRequired(t, "strace is not installed")
	}
	dir := t.TempDir()
	path, trace := filepath.Join(dir, "file"), filepath.Join(dir, "trace")
	if err := os.WriteFile(path, make([]byte, size), 0o644); err != nil {
		t.Fatal(err)
	}
	child := exec.Command(strace, "-f", "-qq", "-e", "trace=sendfile", "-o", trace, os.Args[0])
	child.Env = append(os.Environ(), fmt.Sprintf("SHOAL_TEST_SOCKETS=%d", sockets), "SHOAL_TEST_SERVE="+path)
	in, _ := child.StdinPipe()
	out, _ := child.StdoutPipe()
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 200)
	n, _ := out.Read(line)
	url := strings.TrimSpace(string(line[:n]))
	if !strings.HasPrefix(url, "http://") {
		in.Close()
		child.Wait()
		skipUnlessRequired(t, "strace does not work here: "+url)
	}
	resp, err := nethttp.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if got != size || err != nil {
		t.Errorf("fetched %d bytes, %v; want %d", got, err, size)
	}
	in.Close()
	if err := child.Wait(); err != nil {
		t.Error(err)
	}

	lines, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	var sent int64
	for _, m := range regexp.MustCompile(`(?m)sendfile.* = (\d+)$`).FindAllSubmatch(lines, -1) {
		n, _ := strconv.ParseInt(string(m[1]), 10, 64)
		sent += n
	}
	if sent < size-4096 { // net/http writes the first 512 bytes itself
		t.Errorf("%d of %d bytes went through sendfile\n%s", sent, size, lines)
	}
}

func skipUnlessRequired(t *testing.T, why string) {
	t.Helper()
	if slices.Contains(strings.Split(os.Getenv("SHOAL_REQUIRE"), ","), "interop") {
		t.Fatal(why)
	}
	t.Skip(why)
}
