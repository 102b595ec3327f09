//go:build linux

package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"shoal/internal/deliver"
	"shoal/internal/release"
	"shoal/piece"
	"shoal/scripts/internal/program"
)

// item is a release of one file in a repository of ours.
type item struct {
	app, version, channel string
	size                  int64
	key                   string // v2 info hash
}

func (i *item) file() string { return i.app + "-" + i.version + ".bin" }

// path is where its file is asked for, at an origin as at an edge.
func (i *item) path() string { return "/content/" + i.key + "/" + i.file() }

// atOnce is how many releases are signed together.
const atOnce = 250

// repository makes one of random files. Its items' keys are filled in.
func (b *bench) repository(ctx context.Context, name string, items []item) (dir string, err error) {
	dir = filepath.Join(b.dir, name)
	r, err := release.Init(ctx, dir, release.InitConfig{}, release.Config{})
	if err != nil {
		return "", err
	}
	for first := 0; first < len(items); first += atOnce {
		some := items[first:min(first+atOnce, len(items))]
		_, err := r.Update(ctx, func(tx *release.Tx) error {
			for i := range some {
				if err := add(ctx, r, tx, &some[i]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return "", err
		}
	}
	return dir, nil
}

func add(ctx context.Context, r *release.Repository, tx *release.Tx, i *item) error {
	file := filepath.Join(r.Public(), i.file())
	if err := program.RandomFile(file, i.size); err != nil {
		return err
	}
	t, _, err := piece.Build(ctx, file, piece.BuildConfig{Name: i.file()})
	if err != nil {
		return err
	}
	i.key = hex.EncodeToString(t.V2[:])
	packed, err := deliver.PackMetainfo(t)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(r.ContentDir(i.key), 0o755); err != nil {
		return err
	}
	if err := os.Rename(file, filepath.Join(r.ContentDir(i.key), i.file())); err != nil {
		return err
	}
	a := release.Artefact{Kind: "T", Name: t.Name, V2: i.key, Bytes: t.Length, Metainfo: int64(len(packed))}
	if t.HasV1 {
		a.V1 = hex.EncodeToString(t.V1[:])
	}
	if _, err := tx.Add(release.Release{App: i.app, Version: i.version, Platform: "any", Artefacts: []release.Artefact{a}}, packed); err != nil {
		return err
	}
	_, err = tx.Promote(i.app, i.version, i.channel)
	return err
}

// node is a running shoal serve or shoal edge.
type node struct {
	*program.Running
	url   string
	state string
}

// node starts one and waits until it is ready.
func (b *bench) node(ctx context.Context, role string, args ...string) (n *node, err error) {
	n = new(node)
	if n.state, err = os.MkdirTemp(b.dir, role+"-"); err != nil {
		return nil, err
	}
	args = append([]string{role, "--json", "--listen", "127.0.0.1:0", "--state-dir", n.state, "--log-level", "warn"}, args...)
	if n.Running, err = program.Start(ctx, b.shoal, args...); err != nil {
		return nil, err
	}
	return n, n.Lines(func(line []byte) (bool, error) {
		var x struct {
			Event string
			Port  int
		}
		if err := json.Unmarshal(line, &x); err != nil {
			return false, err
		}
		if x.Event == "error" {
			return false, errors.New(string(line))
		}
		n.url = fmt.Sprintf("http://127.0.0.1:%d", x.Port)
		return x.Event == "ready", nil
	})
}

func (b *bench) edge(ctx context.Context, origin *node, args ...string) (*node, error) {
	return b.node(ctx, "edge", append([]string{origin.url, "--trust-on-first-use", "--keep-free", "1"}, args...)...)
}

// status is what of a node's status is looked at.
type status struct {
	Contents []struct {
		SentPeer int64 `json:"sent_peers_bytes"`
		SentHTTP int64 `json:"sent_http_bytes"`
	} `json:"contents"`
	Edge struct {
		Kept     int   `json:"contents_kept"`
		Fetching int   `json:"contents_fetching"`
		Used     int64 `json:"used_bytes"`
		Requests struct {
			HitBytes int64 `json:"hit_bytes"`
			Hits     int64 `json:"hits"`
		} `json:"requests"`
	} `json:"edge"`
}

func (n *node) status() (st status, err error) {
	resp, err := http.Get(n.url + "/api/v1/status")
	if err != nil {
		return st, err
	}
	defer resp.Body.Close()
	return st, json.NewDecoder(resp.Body).Decode(&st)
}

// sent is how much of its contents an origin has sent.
func (n *node) sent() (sum int64, err error) {
	st, err := n.status()
	for _, c := range st.Contents {
		sum += c.SentPeer + c.SentHTTP
	}
	return sum, err
}

// keeps waits until an edge has so many contents whole.
func (n *node) keeps(ctx context.Context, contents int) error {
	for {
		st, err := n.status()
		if err != nil || st.Edge.Kept >= contents {
			return err
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// download reads a URL to its end and says how much came, and in what header.
func download(ctx context.Context, url string) (n int64, header http.Header, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	if n, err = io.Copy(io.Discard, resp.Body); err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(strings.TrimSpace(resp.Status))
	}
	return n, resp.Header, err
}
