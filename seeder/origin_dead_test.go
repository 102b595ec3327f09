package seeder

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"shoal/internal/deliver"
	"shoal/internal/release"
	"shoal/swarm"
)

// board remembers items as a DHT does.
type board struct {
	mu    sync.Mutex
	items map[string]*release.Item
}

func (b *board) GetItem(_ context.Context, key ed25519.PublicKey, salt []byte) (*release.Item, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := b.items[string(key)+string(salt)]; i != nil {
		return i, nil
	}
	return nil, errors.New("nobody has it")
}

func (b *board) PutItem(_ context.Context, i *release.Item) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.items == nil {
		b.items = map[string]*release.Item{}
	}
	b.items[string(i.Key)+string(i.Salt)] = i
	return nil
}

// host is a node that can be dialled.
type host struct {
	*swarm.Node
	addr string
	stop func()
}

func newHost(t *testing.T, role swarm.Role) *host {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &host{Node: swarm.New(swarm.Config{Role: role, Port: ln.Addr().(*net.TCPAddr).Port}), addr: ln.Addr().String()}
	ctx, cancel := context.WithCancel(context.Background())
	var g sync.WaitGroup
	g.Go(func() { h.Run(ctx) })
	g.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			g.Go(func() { h.HandleConn(ctx, c) })
		}
	})
	h.stop = sync.OnceFunc(func() { cancel(); ln.Close(); g.Wait() })
	t.Cleanup(h.stop)
	return h
}

// The origin publishes, one machine fetches and goes on giving, the origin dies. Another machine that has nothing but root.json finds, verifies and fetches the newest
// release, by its channel and by the magnet link of the item, from that one machine alone.
func TestOriginIsDead(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	dir := filepath.Join(t.TempDir(), "repo")
	r, err := release.Init(ctx, dir, release.InitConfig{}, release.Config{})
	if err != nil {
		t.Fatal(err)
	}
	content := filepath.Join(t.TempDir(), "file")
	for version := 1; version <= 2; version++ {
		if err := os.WriteFile(content, fmt.Appendf(make([]byte, 200_000), "version %d", version), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Publish(ctx, r, content, PublishConfig{App: "app", Version: fmt.Sprint(version), Platform: "any", Channel: "stable"}); err != nil {
			t.Fatal(err)
		}
	}
	root := filepath.Join(dir, "root.json")
	rootBytes, err := os.ReadFile(root)
	if err != nil {
		t.Fatal(err)
	}
	_, keys, err := release.RepositoryOf(rootBytes)
	if err != nil {
		t.Fatal(err)
	}
	dht := &board{}

	origin := newHost(t, swarm.RoleOrigin)
	s := New(Config{StateDir: t.TempDir(), Node: origin.Node})
	if _, err := s.SyncRepository(ctx, r); err != nil {
		t.Fatal(err)
	}
	state, version, err := s.OfferState(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	item, err := r.SignItem(ctx, state.V1, version)
	if err != nil {
		t.Fatal(err)
	}
	if err := dht.PutItem(ctx, item); err != nil {
		t.Fatal(err)
	}

	// A machine that gives what it has.
	machine := newHost(t, swarm.RolePeer)
	sw := &deliver.Swarm{Node: machine.Node, Items: dht, Peers: []string{origin.addr}}
	get := func(source string, h *host, sw *deliver.Swarm, peer string) (*deliver.Found, string, error) {
		src, err := deliver.Classify(source)
		if err != nil {
			return nil, "", err
		}
		found, err := deliver.ResolveRelease(ctx, src, deliver.ReleaseConfig{StateDir: t.TempDir(), Root: root, Swarm: func() (*deliver.Swarm, error) { return sw, nil }})
		if err != nil {
			return nil, "", err
		}
		found.Peers = append(found.Peers, peer)
		out := t.TempDir()
		_, err = deliver.Fetch(ctx, h.Node, deliver.Request{Found: *found, Dir: out, Stall: 30 * time.Second})
		return found, filepath.Join(out, "file"), err
	}
	found, _, err := get("app:stable", machine, sw, origin.addr)
	if err != nil {
		t.Fatal(err)
	}
	found.Close()
	keeping, stopKeeping := context.WithCancel(ctx)
	defer stopKeeping()
	kept, ready := t.TempDir(), make(chan struct{}, 1)
	var g sync.WaitGroup
	defer g.Wait()
	defer stopKeeping()
	g.Go(func() {
		sw.KeepState(keeping, deliver.StateKeeping{Keys: func() []string { return keys }, Dir: kept, Ready: func(int64) { ready <- struct{}{} }, Failed: func(err error) { t.Log(err) }})
	})
	select {
	case <-ready:
	case <-ctx.Done():
		t.Fatal("the state is not kept")
	}

	origin.stop()
	for _, source := range []string{"app:stable", "magnet:?xs=urn:btpk:" + hex.EncodeToString(item.Key) + "&s=" + hex.EncodeToString(item.Salt) + "&dn=app:stable"} {
		h := newHost(t, swarm.RolePeer)
		found, path, err := get(source, h, &deliver.Swarm{Node: h.Node, Items: dht, Peers: []string{machine.addr}}, machine.addr)
		if err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(content)
		if err != nil || string(got) != string(want) || found.Release.Version != "2" {
			t.Errorf("%s: version %s with %d bytes, want version 2 (%v)", source, found.Release.Version, len(got), err)
		}
		found.Close()
	}
	// An item that leads elsewhere, or to an older state, is refused by what it leads to or not found.
	h := newHost(t, swarm.RolePeer)
	forged := *item
	forged.Seq += 5
	if err := dht.PutItem(ctx, &forged); err != nil {
		t.Fatal(err)
	}
	if _, _, err := get("app:stable", h, &deliver.Swarm{Node: h.Node, Items: dht, Peers: []string{machine.addr}}, machine.addr); !errors.Is(err, release.ErrRefused) {
		t.Errorf("a forged item: %v, want a refusal", err)
	}
}
