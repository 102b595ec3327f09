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
// Who gets content from the edge goes on there when the edge dies.

// maxDuplicates is how many of them are heard.
const maxDuplicates = 4

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
		base, ok := strings.CutSuffix(target, path)
		u, err := url.Parse(base)
		if ok && err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.RawQuery == "" && len(list) < maxDuplicates {
			list = append(list, u)
		}
	}
	if list != nil {
		w.twins.Store(&list)
	}
}

// duplicates are the bases of where else the repository is.
func (w *web) duplicates() []*url.URL {
	if list := w.twins.Load(); list != nil {
		return *list
	}
	return nil
}
