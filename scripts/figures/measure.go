//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"

	"shoal/scripts/internal/program"
)

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// origin is a running shoal serve.
type origin struct {
	*program.Running
	urls []string // of its contents
}

// serve starts an origin and waits until all its contents are on offer.
func (b *bench) serve(ctx context.Context, paths ...string) (*origin, error) {
	state, err := os.MkdirTemp(b.dir, "state-")
	if err != nil {
		return nil, err
	}
	o := new(origin)
	if o.Running, err = program.Start(ctx, b.shoal, append([]string{"serve", "--json", "--listen", "127.0.0.1:0", "--state-dir", state}, paths...)...); err != nil {
		return nil, err
	}
	return o, o.Lines(func(line []byte) (bool, error) {
		var x struct{ Event, URL string }
		if err := json.Unmarshal(line, &x); err != nil {
			return false, err
		}
		switch x.Event {
		case "serving":
			o.urls = append(o.urls, x.URL)
		case "error":
			return false, errors.New(string(line))
		}
		return x.Event == "ready", nil
	})
}
