package webfetch

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxSkip is how much of a 200 is thrown away to get at what was asked for.
const maxSkip = 64 << 10

// wanted is a range of one file.
type wanted struct {
	file     int
	first, n int64
	length   int64 // of the whole file, as the torrent says
}

// check decides whether a response can be used, and how many bytes of its body come before the wanted ones.
func (q wanted) check(resp *http.Response, now time.Time) (skip int64, err error) {
	where := resp.Request.URL.Redacted()
	changed := func(format string, args ...any) (int64, error) {
		return 0, &Changed{File: q.file, URL: where, Reason: fmt.Sprintf(format, args...)}
	}
	switch resp.StatusCode {
	case http.StatusOK, http.StatusPartialContent:
	case http.StatusForbidden, http.StatusNotFound, http.StatusGone, http.StatusUnavailableForLegalReasons:
		return 0, &Gone{File: q.file, URL: where, Status: resp.StatusCode}
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return 0, &Busy{URL: where, Status: resp.StatusCode, RetryAfter: retryAfter(resp.Header.Get("Retry-After"), now)}
	case http.StatusRequestedRangeNotSatisfiable:
		return changed("it has no bytes %d to %d, of %d", q.first, q.first+q.n-1, q.length)
	default:
		return 0, fmt.Errorf("%s: unexpected status %d", where, resp.StatusCode)
	}
	// We ask for identity. A range of a compressed file is not a range of the file, and one that decompresses for ever is not asked to.
	if e := resp.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return 0, fmt.Errorf("%s: answered with content encoding %.40q", where, e)
	}
	if resp.StatusCode == http.StatusOK {
		if resp.ContentLength >= 0 && resp.ContentLength != q.length {
			return changed("its length is %d, not %d", resp.ContentLength, q.length)
		}
		if q.first > maxSkip {
			return 0, fmt.Errorf("%s: %w", where, ErrNoRange)
		}
		return q.first, nil
	}
	ranges := resp.Header.Values("Content-Range")
	if len(ranges) != 1 {
		return 0, fmt.Errorf("%s: status 206 with %d Content-Range headers", where, len(ranges))
	}
	first, last, total, err := parseContentRange(ranges[0])
	if err != nil {
		return 0, fmt.Errorf("%s: %w", where, err)
	}
	if total >= 0 && total != q.length {
		return changed("its length is %d, not %d", total, q.length)
	}
	if first != q.first || last != q.first+q.n-1 {
		return 0, fmt.Errorf("%s: asked for bytes %d to %d, got %d to %d", where, q.first, q.first+q.n-1, first, last)
	}
	if resp.ContentLength >= 0 && resp.ContentLength != q.n {
		return 0, fmt.Errorf("%s: %d bytes announced for a range of %d", where, resp.ContentLength, q.n)
	}
	return 0, nil
}

var errContentRange = errors.New("bad Content-Range")

// parseContentRange reads "bytes FIRST-LAST/TOTAL"; TOTAL may be "*", then total is -1 (RFC 9110, 14.4).
func parseContentRange(s string) (first, last, total int64, err error) {
	unit, rest, ok := strings.Cut(s, " ")
	span, of, ok2 := strings.Cut(rest, "/")
	from, to, ok3 := strings.Cut(span, "-")
	if !ok || !ok2 || !ok3 || !strings.EqualFold(unit, "bytes") {
		return 0, 0, 0, fmt.Errorf("%w %.80q", errContentRange, s)
	}
	first, err1 := digits(from)
	last, err2 := digits(to)
	total, err3 := int64(-1), error(nil)
	if of != "*" {
		total, err3 = digits(of)
	}
	if err := errors.Join(err1, err2, err3); err != nil || first > last || total >= 0 && last >= total {
		return 0, 0, 0, fmt.Errorf("%w %.80q", errContentRange, s)
	}
	return first, last, total, nil
}

// digits is strconv.ParseInt without signs.
func digits(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	return int64(n), err
}

// retryAfter reads seconds or a date (RFC 9110, 10.2.3); what it cannot read is 0.
func retryAfter(s string, now time.Time) time.Duration {
	const most = time.Hour
	if n, err := digits(s); err == nil {
		return time.Duration(min(n, int64(most/time.Second))) * time.Second
	}
	t, err := http.ParseTime(s)
	if err != nil {
		return 0
	}
	return min(max(t.Sub(now), 0), most)
}
