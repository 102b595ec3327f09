package deliver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"shoal/piece"
	"shoal/swarm"
	"shoal/swarm/webfetch"
)

// Found is what a SOURCE leads to: a torrent, or for a magnet the hashes to ask peers about.
type Found struct {
	Torrent  *piece.Torrent // nil for a magnet, and for a release that ReleaseConfig.Lean left so
	Magnet   *Magnet
	Trackers [][]string
	WebSeeds []string
	// Origin is the web seed that the server of the metainfo itself is, when it is a Shoal node.
	Origin []string
	// Spares are web seeds to fall back on when those fail, best first.
	Spares []string
	Peers  []string
	// Release is what the source named, if that is a signed release.
	Release *Trusted
	// Local answers for the Origin of content that lies on this machine, in a repository's directory or in a bundle.
	Local http.RoundTripper

	whole   func(ctx context.Context) (*Found, error) // asks for the .torrent where Magnet came in place of it; else nil
	reach   func(f *Found, v2 string)                 // adds how another artefact of the release is got at
	class   func() swarm.Class                        // what it mostly comes from
	carried bool                                      // it comes in a bundle
	close   func()
}

// Close lets go of what the content comes from, once it was fetched.
func (f *Found) Close() {
	if f.close != nil {
		f.close()
	}
}

// Private says whether only its trackers may tell of the content's peers (BEP 27). A magnet cannot say so.
func (f *Found) Private() bool { return f.Torrent != nil && f.Torrent.Private }

// Hosts are the names and addresses of those that the content may come from.
func (f *Found) Hosts() (list []string) {
	urls := append(slices.Concat(f.Trackers...), slices.Concat(f.WebSeeds, f.Origin)...)
	if f.Torrent != nil {
		urls = append(urls, f.Torrent.WebSeeds...)
	}
	for _, raw := range urls {
		if u, err := url.Parse(raw); err == nil && u.Hostname() != "" {
			list = append(list, u.Hostname())
		}
	}
	for _, p := range f.Peers {
		if host, _, err := net.SplitHostPort(p); err == nil {
			list = append(list, host)
		}
	}
	return list
}

// maxTorrentFile bounds a .torrent, in bytes: piece.Read refuses more.
const maxTorrentFile = 64 << 20

// Resolve finds out what to fetch. It asks the network only where the source is a URL.
func Resolve(ctx context.Context, s Source, a Asking) (*Found, error) {
	switch s.Kind {
	case KindMagnet:
		m := s.Magnet
		f := m.found()
		var why error
		a.Peers = false                    // a magnet link is here already
		for _, u := range m.MetainfoURLs { // a shortcut; peers have the metadata too
			ask := a.metainfo
			if len(f.Trackers)+len(f.Peers) > 0 { // then nothing is waited for
				ask = a.once
			}
			x, err := ask(ctx, u)
			if err == nil && !m.names(x.torrent) {
				err = fmt.Errorf("%s is another torrent than the magnet link names: %w", u, piece.ErrCorrupt)
			}
			if err != nil {
				why = cmp.Or(why, err)
				continue
			}
			g := x.found()
			g.Magnet = m
			g.Trackers = append(f.Trackers, g.Trackers...)
			g.WebSeeds = append(g.WebSeeds, f.WebSeeds...)
			g.Peers = append(g.Peers, f.Peers...)
			return g, nil
		}
		if len(f.Trackers)+len(f.Peers) > 0 {
			return f, nil
		}
		return f, why
	case KindFile:
		f, err := os.Open(s.Path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		t, err := piece.Read(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Path, err)
		}
		return &Found{Torrent: t, Trackers: t.Trackers}, nil
	case KindMetainfoURL:
		x, err := a.metainfo(ctx, s.URL.String())
		if err != nil {
			return nil, err
		}
		return x.found(), nil
	case KindURL:
		x, err := a.metainfo(ctx, s.URL.String())
		if err == nil {
			return x.found(), nil
		}
		if errors.Is(err, ErrStalled) {
			return nil, err
		}
		beside := *s.URL
		beside.Path += ".torrent"
		if beside.RawPath != "" {
			beside.RawPath += ".torrent"
		}
		y, second := a.metainfo(ctx, beside.String())
		if second == nil {
			return y.found(), nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if errors.Is(err, piece.ErrBadTorrent) {
			return nil, err
		}
		return nil, second
	}
	return nil, &Error{ErrSource, s.Path + " is a repository, which has many releases", "say which: shoal get APP:CHANNEL --repo " + s.Path}
}

// names says whether t is the torrent that the magnet link means.
func (m *Magnet) names(t *piece.Torrent) bool {
	return (!m.HasV1 || t.HasV1 && t.V1 == m.V1) && (!m.HasV2 || t.HasV2 && t.V2 == m.V2)
}

// fetched is metainfo from a URL.
type fetched struct {
	torrent *piece.Torrent
	magnet  *Magnet                                     // in its place
	again   func(ctx context.Context) (*fetched, error) // asks for the torrent itself
	url     *url.URL                                    // after redirects
	shoal   bool                                        // a Shoal node serves it
}

// found derives what a Shoal node's address tells: it is a peer at the same port, and a web seed.
func (x *fetched) found() *Found {
	var f *Found
	var key string
	if m := x.magnet; m != nil {
		f = m.found()
		f.whole = func(ctx context.Context) (*Found, error) {
			y, err := x.again(ctx)
			if err == nil && !m.names(y.torrent) {
				err = fmt.Errorf("%s: what the server describes is not what it named: %w", x.url, piece.ErrCorrupt)
			}
			if err != nil {
				return nil, err
			}
			return y.found(), nil
		}
		key = piece.Key(m.V1, m.V2, m.HasV2)
	} else {
		f = &Found{Torrent: x.torrent, Trackers: x.torrent.Trackers}
		key = x.torrent.Key()
	}
	if !x.shoal {
		return f
	}
	if x.url.Scheme == "http" {
		f.Peers = append(f.Peers, webfetch.HostPort(x.url))
	}
	base := *x.url
	base.RawQuery, base.Fragment, base.RawPath = "", "", ""
	base.Path = strings.TrimSuffix(path.Dir(base.Path), "/") + "/content/" + key + "/"
	f.Origin = []string{base.String()}
	return f
}

// found is what a magnet link says.
func (m *Magnet) found() *Found {
	f := &Found{Magnet: m, WebSeeds: m.WebSeeds, Peers: m.Peers}
	for _, t := range m.Trackers {
		f.Trackers = append(f.Trackers, []string{t})
	}
	return f
}

// metainfoTime bounds a request for metainfo; a large one comes at 64 KiB/s at least.
const metainfoTime = 60 * time.Second

// once asks a URL for a .torrent.
func (a Asking) once(ctx context.Context, raw string) (*fetched, error) {
	ctx, cancel := context.WithTimeout(ctx, metainfoTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, raw, nil)
	if err != nil {
		return nil, &Error{ErrSource, err.Error(), sourceForms}
	}
	req.Header.Set("Accept", piece.MetainfoType)
	if proxy, err := http.ProxyFromEnvironment(req); a.Peers && req.URL.Scheme == "http" && proxy == nil && err == nil { // the server is a peer then
		req.Header.Set("Accept", piece.MetainfoType+", "+piece.MagnetType)
	}
	req.Header.Set("User-Agent", a.UserAgent)
	tr := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 20 * time.Second, MaxResponseHeaderBytes: 64 << 10,
	}
	defer tr.CloseIdleConnections() // here, and not by the server: of a crowd each saves it some words
	client := &http.Client{Transport: tr, CheckRedirect: notToMagnet}
	resp, err := client.Do(req)
	if isReset(err) && ctx.Err() == nil { // the server may just have been started anew
		resp, err = client.Do(req)
	}
	if err != nil {
		var op *url.Error
		if errors.As(err, &op) {
			err = op.Err
		}
		return nil, &Error{ErrNoSource, fmt.Sprintf("asking %s: %v", raw, err), "is the address right, and does the server run?"}
	}
	defer resp.Body.Close()
	if err := later(resp); err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusGone {
		return nil, &Error{ErrNoSource, fmt.Sprintf("%s: the server answers %s", raw, resp.Status), "the content has changed there since it was described: have the publisher run `shoal serve` again"}
	}
	x := &fetched{url: resp.Request.URL, shoal: strings.HasPrefix(resp.Header.Get("Server"), "Shoal/")}
	if link := resp.Header.Get("Location"); resp.StatusCode/100 == 3 && isMagnet(link) {
		if !a.Peers {
			return nil, &Error{ErrNoSource, raw + ": the server answers with a magnet link, though a .torrent was asked for", fmt.Sprintf("if it is the right one, give that to `shoal get`: %.300q", link)}
		}
		return a.referred(ctx, x, link)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, &Error{ErrNoSource, fmt.Sprintf("%s: the server answers %s", raw, resp.Status), "is the name right? the .torrent must lie beside the content"}
	}
	if t := resp.Header.Get("Content-Type"); strings.HasPrefix(t, "text/html") {
		return nil, &Error{ErrNoSource, raw + " is a web page and not a .torrent", "give the URL of the .torrent, or of a content beside which one lies"}
	}
	body := &io.LimitedReader{R: resp.Body, N: maxTorrentFile + 1}
	first := make([]byte, 1)
	if _, err := io.ReadFull(body, first); err != nil {
		return nil, fmt.Errorf("%s: %w: it is empty", raw, piece.ErrBadTorrent)
	}
	if first[0] != 'd' { // the content itself: not a byte more of it
		return nil, &Error{ErrNoSource, raw + " is not a .torrent, and there is none beside it",
			"what cannot be verified is not downloaded: have the publisher run `shoal serve` or `shoal create`"}
	}
	if x.torrent, err = piece.Read(io.MultiReader(strings.NewReader("d"), body)); err != nil {
		if ctx.Err() != nil {
			return nil, &Error{ErrNoSource, fmt.Sprintf("asking %s: %v", raw, context.Cause(ctx)), ""}
		}
		return nil, fmt.Errorf("%s: %w", raw, err)
	}
	return x, nil
}
