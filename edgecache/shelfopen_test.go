package edgecache

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/swarm"
)

// What an edge cannot have made stays where it is in its state directory, and is told of once; what it was writing when it died goes.
func TestForeignFilesStay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key := strings.Repeat("0a", 32)
	stays := []string{"content/f2", "content/mine/below", "content/notes.json", "content/.hidden", "content/.x.tmp", "metainfo/old.torrent", "metainfo/f", "file/f", "file/." + key}
	goes := []string{"content/" + key + ".json", "content/." + key + ".json.123.tmp", "metainfo/" + key + ".torrent", "metainfo/." + key + ".torrent.123.tmp", "file/." + key + ".123.tmp"}
	for _, name := range append(stays, goes...) {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("p"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	cfg := Config{StateDir: dir, Quota: 1 << 30, Node: swarm.New(swarm.Config{Role: swarm.RoleEdge}), Log: slog.New(slog.NewTextHandler(&log, nil))}
	if _, err := New(cfg); err != nil {
		t.Fatal(err)
	}
	for _, name := range stays {
		if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			t.Error(err)
		}
	}
	for _, name := range goes {
		if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(name))); err == nil {
			t.Errorf("%s stays", name)
		}
	}
	if n := strings.Count(log.String(), "left alone"); n != 1 || !strings.Contains(log.String(), "names=9") {
		t.Errorf("told %d times of what is foreign: %s", n, &log)
	}
}
