package edgecache

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
)

// BenchmarkSmallHit is a request for 16 KiB that are here, over one connection.
func BenchmarkSmallHit(b *testing.B) {
	const size = 16 << 10
	o := newOrigin(b, size)
	e, _ := runEdge(b, o, Config{})
	until(b, "it is here", func() bool { return e.Status().Kept == 1 })
	srv := httptest.NewServer(e)
	defer srv.Close()
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	request := fmt.Appendf(nil, "GET /content/%s/%s HTTP/1.1\r\nHost: x\r\n\r\n", o.keys[0], filepath.Base(o.files[0]))
	in := bufio.NewReaderSize(c, 32<<10)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(request); err != nil {
			b.Fatal(err)
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != size {
			b.Fatal(n, err)
		}
	}
}
