//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"shoal/piece"
)

// fillPort is where an edge's own origin is, on the tracker's host.
const fillPort = 80

// serveEdge starts shoal edge on the origin and waits until it has the content and offers it to the swarm. It is filled beforehand, over HTTP by the
// lab itself, which none of the machines knows of.
func serveEdge(ctx context.Context, r *round) error {
	h := r.net.origin
	url, err := r.fill(ctx)
	if err != nil {
		return err
	}
	kept := make(chan struct{})
	line := func(text string) {
		var e shoalEvent
		if json.Unmarshal([]byte(text), &e) == nil && e.Event == "kept" {
			close(kept)
		}
	}
	args := append([]string{"edge", "--json", "--listen", ":7070", "--quota", fmt.Sprint(2*int64(r.scenario.Size) + 64<<20), "--keep-free", "1", url}, r.shoalFlags()...)
	p, err := r.start(ctx, h, line, r.shoal(), args...)
	if err != nil {
		return err
	}
	r.originProcess = p
	if err := r.await(ctx, p, kept); err != nil {
		return err
	}
	r.payload = func() (int64, int64, error) {
		return sentByShoal(ctx, filepath.Join(h.dir(r), "state", "control.sock"))
	}
	return r.poll(ctx, p, func() (bool, error) { return r.complete(ctx) })
}

// fill serves the content, and the .torrent that the machines get with this server in it as a web seed, on the tracker's host until ctx is done. It
// returns the URL of the .torrent.
func (r *round) fill(ctx context.Context) (string, error) {
	t, err := piece.ReadFile(r.torrent)
	if err != nil {
		return "", err
	}
	h := r.net.tracker
	base := fmt.Sprintf("http://%s:%d/", h.addr, fillPort)
	name := filepath.Base(r.content)
	t.WebSeeds = []string{base + name}
	var described bytes.Buffer
	if err := t.Write(&described); err != nil {
		return "", err
	}
	var l net.Listener
	err = h.ns.inside(func() (err error) {
		l, err = net.Listen("tcp", fmt.Sprintf("%s:%d", h.addr, fillPort))
		return err
	})
	if err != nil {
		return "", err
	}
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServerFS(os.DirFS(filepath.Dir(r.content))))
	mux.HandleFunc("/"+name+".torrent", func(w http.ResponseWriter, _ *http.Request) { w.Write(described.Bytes()) })
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	r.processes.Go(func() { s.Serve(l) })
	context.AfterFunc(ctx, func() { s.Close() })
	return base + name + ".torrent", nil
}
