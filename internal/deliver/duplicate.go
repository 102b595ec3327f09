package deliver

import (
	"net/http"
	"net/url"
	"strings"
)

// An edge says with a repository's timestamp where else the same file is, best first: at the other edges of its cluster, and at the origin. It does so as
// RFC 6249 (Metalink/HTTP) has it, in Link header fields:
//
//	Link: <http://10.0.0.6:7070/ID/metadata/timestamp.json>; rel=duplicate
//
// Who gets content from the edge goes on there when the edge dies, and who asks for what is new asks there; see ReleaseConfig.elsewhere.

const (
	// maxDuplicates is how many of them are heard.
	maxDuplicates = 4
	// maxBase is how long the base of one may be, in bytes.
	maxBase = 1024
)

// AddDuplicate adds to an answer that the same file is at another URL too.
func AddDuplicate(h http.Header, url string) { h.Add("Link", "<"+url+">; rel=duplicate") }

// hearDuplicates takes from the answer for a file of the repository where else the repository is.
func (w *web) hearDuplicates(h http.Header, path string) {
	var list []*url.URL
	for _, value := range h.Values("Link") {
		target, params, ok := strings.Cut(value, ">")
		target, isLink := strings.CutPrefix(strings.TrimSpace(target), "<")
		if !ok || !isLink || strings.Trim(params, "; ") != "rel=duplicate" {
			continue
		}
		if base, ok := strings.CutSuffix(target, path); ok && len(list) < maxDuplicates {
			if u := parseBase(base); u != nil {
				list = append(list, u)
			}
		}
	}
	if list != nil {
		w.twins.Store(&list)
	}
}

// parseBase is the base of a repository, as somebody else has named it; nil if it is none.
func parseBase(text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil || len(text) > maxBase || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || !strings.HasSuffix(u.Path, "/") {
		return nil
	}
	return u
}

// duplicates are the bases of where else the repository is.
func (w *web) duplicates() []*url.URL {
	if list := w.twins.Load(); list != nil {
		return *list
	}
	return nil
}
