package webfetch

import (
	"fmt"
	"net/url"
	"strings"

	"shoal/piece"
)

// parseBase checks what a torrent or a user calls a web seed.
func parseBase(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, fmt.Errorf("web seed: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, fmt.Errorf("web seed %q is not an http or https URL", u.Redacted())
	}
	u.Fragment, u.RawFragment = "", ""
	return u, nil
}

// fileURL is where file i lies by the rules of BEP 19: a URL that ends in a slash gets the torrent's name; that of a tree gets the path below it
// as well; one that does not end in a slash is the file itself, or for a tree (libtorrent's reading) a directory all the same. A query stays at
// the end. The name of a v2 single-file torrent is not repeated, although BEP 52 stores it as a tree of one file.
func fileURL(base *url.URL, in *piece.Info, i int) *url.URL {
	path := base.EscapedPath()
	if path == "" || in.Dir && !strings.HasSuffix(path, "/") {
		path += "/"
	}
	if strings.HasSuffix(path, "/") {
		path += escape(in.Name)
	}
	if in.Dir {
		for _, part := range in.Files[i].Path {
			path += "/" + escape(part)
		}
	}
	u := *base
	u.RawPath = path
	u.Path, _ = url.PathUnescape(path) // the base's own path and escape's results unescape without error
	return &u
}

// escape is url.PathEscape, and hides "+" as well: it means itself in a path, but S3 and its kin read it as a space.
func escape(part string) string { return strings.ReplaceAll(url.PathEscape(part), "+", "%2B") }
