package edgecache

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/url"
	"testing"

	"shoal/internal/deliver"
)

// What the quick way takes for a plain GET, net/http reads as the same one: for the same target, of the same length, without a body, a condition or a range, on a connection
// that is kept, by nobody who is an edge. Targets that are none of a URL are answered by neither: only what net/http has answered before is in memory.
func FuzzPlainGet(f *testing.F) {
	f.Add([]byte("GET /content/ab/x HTTP/1.1\r\nHost: a\r\nUser-Agent: curl/8\r\nAccept: */*\r\n\r\nGET /"))
	f.Add([]byte("GET /a@1/b?platform=c HTTP/1.1\r\nhost:a\r\nConnection: Keep-Alive\r\nAccept-Encoding: gzip\r\n\r\n"))
	f.Add([]byte("GET / HTTP/1.1\r\nHost\r\n\r\n"))
	f.Add([]byte("GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: x" + deliver.EdgeServer + "\r\n\r\n"))
	f.Add([]byte("GET / HTTP/1.1\r\nHost: a\r\nAccept: a\r\n Range: bytes=0-1\r\n\r\n"))
	f.Add([]byte("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"))
	f.Fuzz(func(t *testing.T, in []byte) {
		path, used := plainGet(in)
		if used == 0 {
			return
		}
		if _, err := url.ParseRequestURI(string(path)); err != nil {
			return
		}
		rest := bufio.NewReader(bytes.NewReader(in))
		r, err := http.ReadRequest(rest)
		if err != nil {
			t.Fatalf("net/http does not read it: %v", err)
		}
		left, err := io.ReadAll(rest)
		if err != nil || len(in)-len(left) != used || r.ContentLength != 0 || len(r.TransferEncoding) != 0 {
			t.Fatalf("net/http reads %d bytes and a body of %d (%v), quick %d; %v", len(in)-len(left), r.ContentLength, r.TransferEncoding, used, err)
		}
		if r.Method != http.MethodGet || r.RequestURI != string(path) || r.Proto != "HTTP/1.1" || r.Close || isEdge(r) {
			t.Fatalf("%s %q %s, closes: %v, by %q; quick answers %q", r.Method, r.RequestURI, r.Proto, r.Close, r.UserAgent(), path)
		}
		for name := range r.Header {
			switch name {
			case "Accept", "Accept-Encoding", "Accept-Language", "User-Agent", "Connection":
			default:
				t.Fatalf("%s may change the answer", name)
			}
		}
	})
}
