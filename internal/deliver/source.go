package deliver

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"shoal/internal/release"
)

// Kind is what a SOURCE names.
type Kind uint8

const (
	KindMagnet      Kind = iota + 1 // Source.Magnet
	KindRelease                     // Source.Release
	KindMetainfoURL                 // Source.URL is a .torrent
	KindURL                         // Source.URL is a content's name: asked for its metainfo, then NAME.torrent
	KindFile                        // Source.Path is a .torrent
	KindRepository                  // Source.Path is a directory with shoal.json
	KindBundle                      // Source.Path is a bundle
)

func (k Kind) String() string {
	return [...]string{"", "magnet link", "release", "URL of a .torrent", "URL", "file", "repository", "bundle"}[k]
}

// Source is a classified SOURCE.
type Source struct {
	Kind    Kind
	Magnet  *Magnet
	Release Release
	URL     *url.URL
	Path    string
}

// Signed says whether the source is a signed release, for ResolveRelease; others are for Resolve.
func (s Source) Signed() bool { return s.Kind == KindRelease || s.Kind == KindBundle }

// Hosts are the names or addresses of the servers that the source itself names.
func (s Source) Hosts() (list []string) {
	for _, u := range []*url.URL{s.URL, s.Release.Repository} {
		if u != nil && u.Hostname() != "" {
			list = append(list, u.Hostname())
		}
	}
	return list
}

// Release names a version of an app: by itself, or by the channel that decides it.
type Release struct {
	Repository *url.URL // base of the signed repository, ending in "/"; nil if the source did not say
	App        string
	Channel    string // exactly one of Channel and Version is set
	Version    string
}

// reserved names belong to the node's own URLs and can be neither contents nor apps.
var reserved = []string{"announce", "scrape", "metadata", "targets", "metainfo", "content", "log", "api", "metrics", "healthz", "v1"}

// Reserved says whether a name cannot be the name of a content or an app: a node's own URLs begin with it.
func Reserved(name string) bool {
	return strings.HasPrefix(name, ".") || slices.Contains(reserved, name)
}

// Classify decides what a SOURCE means, before any packet: by its form, and for a path by what lies there.
// The first form that matches counts. The error is an *Error of kind ErrSource, or the file system's.
func Classify(source string) (Source, error) {
	if source == "" {
		return Source{}, &Error{ErrSource, "the source is empty", sourceForms}
	}
	if isMagnet(source) {
		m, err := ParseMagnet(source)
		if err != nil {
			return Source{}, &Error{ErrSource, err.Error(), "a magnet link is best quoted: 'magnet:?xt=urn:btih:…&…'"}
		}
		if m.HasItem && !m.HasV1 && !m.HasV2 {
			r, ok := parseRelease(m.Name)
			if !ok {
				return Source{}, &Error{ErrSource, "the magnet link names a repository, and not which of its releases", "add &dn=APP:CHANNEL to it"}
			}
			return Source{Kind: KindRelease, Magnet: m, Release: r}, checkApp(r.App)
		}
		return Source{Kind: KindMagnet, Magnet: m}, nil
	}
	if scheme, _, ok := strings.Cut(source, "://"); ok {
		if strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https") {
			return classifyURL(source)
		}
	}
	info, err := os.Stat(source)
	switch {
	case err == nil:
		return classifyPath(source, info)
	case errors.Is(err, fs.ErrPermission):
		return Source{}, err // there may be something, but not for us to see
	}
	if r, ok := parseRelease(source); ok {
		return Source{Kind: KindRelease, Release: r}, checkApp(r.App)
	}
	return Source{}, unknownForm(source)
}

func classifyURL(source string) (Source, error) {
	u, err := url.Parse(source)
	if err != nil || u.Host == "" || u.Opaque != "" {
		return Source{}, &Error{ErrSource, fmt.Sprintf("%q is not a URL", source), "expected http://HOST:PORT/NAME"}
	}
	// The last segment of the path decides. Its escapes are undone first: %40 is as good as @.
	escaped := u.EscapedPath()
	cut := strings.LastIndexByte(escaped, '/') + 1
	last, err := url.PathUnescape(escaped[cut:])
	if err != nil {
		return Source{}, &Error{ErrSource, fmt.Sprintf("%q is not a URL", source), "expected http://HOST:PORT/NAME"}
	}
	if r, ok := parseRelease(last); ok {
		base := *u
		base.ForceQuery, base.RawQuery, base.Fragment, base.RawFragment = false, "", "", ""
		base.RawPath = escaped[:cut]
		base.Path, _ = url.PathUnescape(base.RawPath) // it was part of a path that unescaped
		r.Repository = &base
		return Source{Kind: KindRelease, Release: r}, checkApp(r.App)
	}
	if strings.EqualFold(filepath.Ext(last), ".torrent") {
		return Source{Kind: KindMetainfoURL, URL: u}, nil
	}
	if last == "" {
		return Source{}, &Error{ErrSource, fmt.Sprintf("%s names no content", source), "expected " + u.Scheme + "://" + u.Host + strings.TrimRight(escaped, "/") + "/NAME"}
	}
	return Source{Kind: KindURL, URL: u}, nil
}

func classifyPath(path string, info fs.FileInfo) (Source, error) {
	if !info.IsDir() {
		if beginsBundle(path) {
			return Source{Kind: KindBundle, Path: path}, nil
		}
		return Source{Kind: KindFile, Path: path}, nil
	}
	if _, err := os.Stat(filepath.Join(path, release.MarkerName)); err == nil {
		return Source{Kind: KindRepository, Path: path}, nil
	}
	return Source{}, &Error{ErrSource, fmt.Sprintf("%s is a directory, not a source", path), "shoal serve " + path + " offers it to others"}
}

// beginsBundle looks at the first bytes of a file.
func beginsBundle(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false // who opens it next will say why
	}
	defer f.Close()
	begin := make([]byte, 512)
	n, err := io.ReadFull(f, begin)
	return err == nil && release.IsBundle(begin[:n])
}

func parseRelease(s string) (Release, bool) {
	r, ok := release.ParseRef(s)
	return Release{App: r.App, Channel: r.Channel, Version: r.Version}, ok
}

func checkApp(app string) error {
	if Reserved(app) {
		return &Error{ErrSource, fmt.Sprintf("%q is a reserved name: no app can have it", app), ""}
	}
	return nil
}

const sourceForms = "a source is a .torrent, http(s)://…, magnet:?…, APP:CHANNEL or APP@VERSION"

// unknownForm names the form that is nearest to what was given.
func unknownForm(source string) error {
	message, hint := fmt.Sprintf("%q is not a source", source), sourceForms
	scheme, rest, hasScheme := strings.Cut(source, "://")
	host, path, hasPath := strings.Cut(source, "/")
	switch {
	case hasScheme && strings.EqualFold(scheme, "file"):
		hint = "give the path itself: " + rest
	case hasScheme:
		message = fmt.Sprintf("%q: %s:// is not a source", source, scheme)
	case topic(source) != "":
		message, hint = fmt.Sprintf("%q is an info hash, not a source", source), "magnet:?xt="+topic(source)
	case strings.HasPrefix(source, "?xt=") || strings.HasPrefix(source, "xt="):
		hint = "magnet:?" + strings.TrimPrefix(source, "?")
	case hasPath && path != "" && strings.ContainsAny(host, ".:") && !strings.HasPrefix(host, "."):
		message, hint = fmt.Sprintf("no file %q", source), "did you mean http://"+source+"?"
	case strings.ContainsRune(source, filepath.Separator) || strings.EqualFold(filepath.Ext(source), ".torrent"):
		message, hint = fmt.Sprintf("no file %q", source), sourceForms
	}
	return &Error{ErrSource, message, hint}
}

// topic turns a bare info hash into the xt of a magnet link; "" if it is none.
func topic(hash string) string {
	if _, err := parseBTIH(hash); err == nil {
		return "urn:btih:" + hash
	}
	if multihash := "1220" + strings.TrimPrefix(hash, "1220"); len(hash) >= 64 {
		if _, err := parseBTMH(multihash); err == nil {
			return "urn:btmh:" + multihash
		}
	}
	return ""
}
