//go:build linux

package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// How the programs of others are set, so that the comparison is fair to them: no DHT, no port mapping, no uTP
// and no encryption, and none of the limits that are meant for home users. They verify before they seed.

// aria2 says that a download is complete, and that one is verified, by running a program.
func aria2Args(r *round, h *host, dir string) ([]string, string, error) {
	done := filepath.Join(h.dir(r), "done")
	script := filepath.Join(h.dir(r), "done.sh")
	if err := write(script, "#!/bin/sh\n: > "+done+"\n", 0o755); err != nil {
		return nil, "", err
	}
	return []string{"--no-conf", "--dir", dir, "--file-allocation=none", "--bt-request-peer-speed-limit=0", "--bt-max-peers=0",
		"--seed-ratio=0", "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false", "--enable-peer-exchange=false",
		"--listen-port=6881", "--summary-interval=0", "--console-log-level=warn", "--show-console-readout=false",
		"--on-bt-download-complete=" + script}, done, nil
}

func seedAria2(ctx context.Context, r *round) error {
	args, _, err := aria2Args(r, r.net.origin, filepath.Dir(r.content))
	if err != nil {
		return err
	}
	return r.seedOf(ctx, "aria2c", append(args, "--check-integrity=true", "--allow-overwrite=true", r.torrent)...)
}

func getAria2(ctx context.Context, r *round, m *machine) (*process, error) {
	args, done, err := aria2Args(r, m.host, m.out)
	if err != nil {
		return nil, err
	}
	if !r.scenario.stay() {
		args = append(args, "--seed-time=0")
	}
	m.doneFile = done
	return r.start(ctx, m.host, nil, "aria2c", append(args, r.torrent)...)
}

// python is Debian's, for which the package python3-libtorrent is made.
const python = "/usr/bin/python3"

//go:embed libtorrent.py
var libtorrentDriver string

func libtorrentArgs(r *round, h *host, dir string, seed bool) []string {
	config, err := json.Marshal(map[string]any{
		"torrent": r.torrent, "dir": dir, "address": h.addr.String(), "seed": seed, "stay": seed || r.scenario.stay(),
	})
	if err != nil {
		panic(err) // strings and bools
	}
	return []string{"-c", libtorrentDriver, string(config)}
}

func seedLibtorrent(ctx context.Context, r *round) error {
	return r.seedOf(ctx, python, libtorrentArgs(r, r.net.origin, filepath.Dir(r.content), true)...)
}

func getLibtorrent(ctx context.Context, r *round, m *machine) (*process, error) {
	line := func(text string) {
		if text == "finished" {
			m.finish(time.Now())
		}
	}
	return r.start(ctx, m.host, line, python, libtorrentArgs(r, m.host, m.out, false)...)
}

// transmissionArgs writes the settings, which the command-line client reads as the daemon does.
func transmissionArgs(r *round, h *host, dir string) ([]string, string, error) {
	config := filepath.Join(h.dir(r), "transmission")
	done := filepath.Join(h.dir(r), "done")
	script := filepath.Join(h.dir(r), "done.sh")
	settings, err := json.Marshal(map[string]any{
		"dht-enabled": false, "lpd-enabled": false, "pex-enabled": false, "utp-enabled": false, "port-forwarding-enabled": false,
		"peer-port": 51413, "cache-size-mb": 64, "peer-limit-global": 500, "peer-limit-per-torrent": 100,
		"upload-slots-per-torrent": 14, "encryption": 0, "incomplete-dir-enabled": false, "rename-partial-files": false, "rpc-enabled": false,
	})
	if err != nil {
		return nil, "", err
	}
	err = errors.Join(os.MkdirAll(config, 0o755), write(filepath.Join(config, "settings.json"), string(settings), 0o600),
		write(script, "#!/bin/sh\n: > "+done+"\n", 0o755))
	return []string{"--config-dir", config, "--download-dir", dir, "--finish", script, "--no-portmap", "--no-downlimit", "--no-uplimit", r.torrent}, done, err
}

func seedTransmission(ctx context.Context, r *round) error {
	args, _, err := transmissionArgs(r, r.net.origin, filepath.Dir(r.content))
	if err != nil {
		return err
	}
	return r.seedOf(ctx, "transmission-cli", args...)
}

func getTransmission(ctx context.Context, r *round, m *machine) (*process, error) {
	args, done, err := transmissionArgs(r, m.host, m.out)
	if err != nil {
		return nil, err
	}
	m.doneFile = done
	return r.start(ctx, m.host, nil, "transmission-cli", args...)
}

// serveNginx offers the content over HTTP.
func serveNginx(ctx context.Context, r *round) error {
	h := r.net.origin
	dir := h.dir(r)
	config := filepath.Join(dir, "nginx.conf")
	err := write(config, fmt.Sprintf(`user root;
daemon off;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log;
events { worker_connections 1024; }
http {
	access_log off;
	sendfile on;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	server { listen %[3]d; root %[2]s; }
}
`, dir, filepath.Dir(r.content), httpPort), 0o644)
	if err != nil {
		return err
	}
	p, err := r.start(ctx, h, nil, "nginx", "-p", dir, "-e", filepath.Join(dir, "error.log"), "-c", config)
	if err != nil {
		return err
	}
	r.originProcess = p
	return r.answers(ctx, httpPort)
}

const httpPort = 80

// answers waits until the origin accepts connections at a port.
func (r *round) answers(ctx context.Context, port int) error {
	h := r.net.origin
	return r.poll(ctx, r.originProcess, func() (ok bool, err error) {
		err = h.ns.inside(func() error {
			c, err := net.DialTimeout("tcp", fmt.Sprintf("%s:%d", h.addr, port), time.Second)
			if err == nil {
				ok = true
				return c.Close()
			}
			return nil
		})
		return ok, err
	})
}

func getCurl(ctx context.Context, r *round, m *machine) (*process, error) {
	m.finishAtEnd = true
	return r.start(ctx, m.host, nil, "curl", "--silent", "--show-error", "--fail", "--output", r.file(m), r.plainURL())
}

// getAndHash is a plain download with one pass over the file behind it.
func getAndHash(ctx context.Context, r *round, m *machine) (*process, error) {
	m.finishAtEnd = true
	script := `curl --silent --show-error --fail --output "$1" "$2" && openssl dgst -sha256 "$1"`
	return r.start(ctx, m.host, nil, "/bin/sh", "-c", script, "sh", r.file(m), r.plainURL())
}

// plainURL is where the content can be had without BitTorrent.
func (r *round) plainURL() string {
	port := httpPort
	if r.contender.origin == "shoal" {
		port = 7070
	}
	return fmt.Sprintf("http://%s:%d/%s", r.net.origin.addr, port, filepath.Base(r.content))
}

// seedOf starts a seed on the origin and waits until the tracker lists it as one.
func (r *round) seedOf(ctx context.Context, name string, args ...string) error {
	p, err := r.start(ctx, r.net.origin, nil, name, args...)
	if err != nil {
		return err
	}
	r.originProcess = p
	return r.poll(ctx, p, func() (bool, error) { return r.complete(ctx) })
}

// complete asks the tracker whether there is a seed.
func (r *round) complete(ctx context.Context) (ok bool, err error) {
	var body string
	err = r.net.tracker.ns.inside(func() error {
		c, err := net.DialTimeout("tcp", r.net.tracker.addr.String()+":6969", time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(2 * time.Second))
		fmt.Fprintf(c, "GET /scrape?info_hash=%s HTTP/1.0\r\n\r\n", url.QueryEscape(string(r.infohash[:])))
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return err
		}
		b := make([]byte, 4096)
		n, _ := resp.Body.Read(b)
		body = string(b[:n])
		return resp.Body.Close()
	})
	_, count, found := strings.Cut(body, "8:completei")
	return found && count[0] != '0', err
}
