//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"shoal/scripts/internal/program"
)

// event is what of shoal's JSON is looked at.
type event struct {
	Event   string
	Port    int
	From    map[string]int64
	Message string
}

// update measures an update from old to new by shoal itself: from the look into the repository to files that are verified and in place. The publisher's
// part is the whole of publish: the archive, too.
func (b *bench) update(ctx context.Context, p pair, dir, old, new string) error {
	shoal := filepath.Join(b.tmp, "shoal")
	repo, to := filepath.Join(dir, "repo"), filepath.Join(dir, "updated")
	var made program.Spent
	for _, args := range [][]string{
		{"env", "CGO_ENABLED=0", "go", "build", "-o", shoal, "shoal"},
		{shoal, "init", repo, "--plain-keys"},
		{shoal, "publish", old, "--as", "pair@1", "--repo", repo},
		{shoal, "publish", new, "--as", "pair@2", "--repo", repo, "--patch-from", "1"},
	} {
		var err error
		if made, err = program.Call(ctx, args[0], args[1:]...); err != nil {
			return err
		}
	}
	origin, err := program.Start(ctx, shoal, "serve", repo, "--json", "--listen", "127.0.0.1:0", "--state-dir", filepath.Join(dir, "origin"), "--log-level", "warn")
	if err != nil {
		return err
	}
	defer origin.Stop()
	port := 0
	if err := origin.Lines(func(line []byte) (bool, error) {
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			return false, err
		}
		if e.Event == "error" {
			return false, errors.New(e.Message)
		}
		if e.Event == "ready" {
			port = e.Port
		}
		return e.Event == "ready", nil
	}); err != nil {
		return err
	}
	var got program.Spent
	for _, version := range []string{"1", "2"} {
		if got, err = program.Call(ctx, shoal, "get", fmt.Sprintf("http://127.0.0.1:%d/pair@%s", port, version), "--root", filepath.Join(repo, "root.json"),
			"--state-dir", filepath.Join(dir, "machine"), "-o", to, "--json", "--listen", "127.0.0.1:0"); err != nil {
			return err
		}
	}
	fetched := int64(0)
	for line := range bytes.Lines(got.Out) {
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			return err
		}
		for class, n := range e.From {
			if e.Event == "done" && class != "reuse" {
				fetched += n
			}
		}
	}
	other(p, "shoal get", fetched, made, got)
	return nil
}
