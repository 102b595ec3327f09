package deliver

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// localHost is the host of web seeds that are no server but lie on this machine: in a repository's directory or in a bundle.
const localHost = "this-machine.invalid"

// opener opens a file of a repository's content by its path.
type opener interface {
	open(path string) (c content, size int64, err error)
}

// content is an open file.
type content interface {
	io.ReaderAt
	io.Closer
}

// local answers requests for content from an opener; it is an http.RoundTripper. So content on this machine goes the way of all content: verified,
// resumable, selectable, and without a socket.
type local struct{ opener }

// RoundTrip implements http.RoundTripper for GET with at most one range, as web seeds are asked.
func (l local) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := func(status int, h http.Header, body io.ReadCloser, n int64) *http.Response {
		return &http.Response{StatusCode: status, Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: h, Body: body, ContentLength: n, Request: r}
	}
	if r.URL.Host != localHost || r.Method != http.MethodGet {
		return nil, fmt.Errorf("%s %s is not on this machine", r.Method, r.URL.Redacted())
	}
	f, size, err := l.open(strings.TrimPrefix(r.URL.Path, "/"))
	if err != nil {
		return answer(http.StatusNotFound, http.Header{}, http.NoBody, 0), nil
	}
	first, last := int64(0), size-1
	if text, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok {
		a, b, _ := strings.Cut(text, "-")
		if first, err = strconv.ParseInt(a, 10, 64); err == nil && b != "" {
			last, err = strconv.ParseInt(b, 10, 64)
		}
		if err != nil || first < 0 || first > last || first >= size {
			f.Close()
			h := http.Header{"Content-Range": {fmt.Sprintf("bytes */%d", size)}}
			return answer(http.StatusRequestedRangeNotSatisfiable, h, http.NoBody, 0), nil
		}
		last = min(last, size-1)
	}
	h := http.Header{"Accept-Ranges": {"bytes"}, "Content-Range": {fmt.Sprintf("bytes %d-%d/%d", first, last, size)}}
	status := http.StatusPartialContent
	if r.Header.Get("Range") == "" {
		status = http.StatusOK
		h.Del("Content-Range")
	}
	body := struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(f, first, last-first+1), f}
	return answer(status, h, body, last-first+1), nil
}

// localSeed is the web seed of a content that an opener has.
func localSeed(v2 string) string {
	return (&url.URL{Scheme: "http", Host: localHost, Path: "/content/" + v2 + "/"}).String()
}
