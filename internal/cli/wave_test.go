package cli

import (
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"shoal/internal/swarmtest"
)

// In an update wave machines with nothing and machines with the version before go to the newest at once, and give to each other. Of an origin with
// a budget each artefact leaves once, however many machines there are.
func TestWave(t *testing.T) {
	machines := 5
	if swarmtest.Required("long") {
		machines = 30
	}
	t.Parallel()
	h := swarmtest.Local(t)
	one, two := versions(t, h)
	repo := repositoryOf(h, one, two)
	base := offered(h, repo, "--origin-budget", "1.02")

	fetches := make([]*swarmtest.Process, machines)
	for i := range fetches {
		n := strconv.Itoa(i)
		args := []string{"get", base + "app@2", "--root", filepath.Join(repo, "root.json"), "--state-dir", h.Path("state", n), "-o", h.Path("out", n), "--peers", "all", "--seed-for", "1m"}
		if i%5 > 0 { // one in five is a fresh install
			args = append(args, "--from", one)
		}
		fetches[i] = h.Start(args...)
	}
	var sent, whole int64
	ways := map[string]bool{}
	for i, p := range fetches {
		done := p.Expect("done")
		sent += done.Int("from.origin")
		whole = done.Int("bytes")
		ways[done.String("way")] = true
		swarmtest.Same(t, two, h.Path("out", strconv.Itoa(i), "app-2"))
	}
	for _, p := range fetches {
		p.Stop()
	}
	artefacts := map[string]int64{"tree": whole, "patch": contentSize(t, repo, "app-2.from-1.patch"), "archive": contentSize(t, repo, "app-2.tar.zst")}
	var used int64
	for way := range ways {
		used += artefacts[way]
	}
	if !ways["patch"] || len(ways) < 2 {
		t.Errorf("ways %v, want a patch for those that have a version, and another for those that have none", ways)
	}
	t.Logf("%d machines: the origin has sent %d bytes, %.3f of the artefacts that were used, instead of %d", machines, sent, float64(sent)/float64(used), int64(machines)*whole)
	if float64(sent) > 1.05*float64(used) {
		t.Errorf("the origin has sent %d bytes, want 1.05 of %d at most", sent, used)
	}
}

// contentSize is the size of the one content of this name in a repository.
func contentSize(t *testing.T, repo, name string) int64 {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(repo, "public", "content", "*", name))
	if err != nil || len(paths) != 1 {
		t.Fatalf("%s: %q, %v", name, paths, err)
	}
	info, err := os.Stat(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// A machine that has applied a patch gives others both the patch and the tree that it has become.
func TestPatchedMachineGivesPatchAndTree(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	one, two := versions(t, h)
	base, root := published(h, one, two)
	get := func(name string, args ...string) *swarmtest.Process {
		return h.Start(append([]string{"get", base + "app@2", "--root", root, "--state-dir", h.Path("state", name), "-o", h.Path("out", name), "--peers", "all"}, args...)...)
	}
	first := get("first", "--from", one, "--seed-for", "1m")
	if way := first.Expect("done").String("way"); way != "patch" {
		t.Fatalf("the first machine came by %s, want a patch", way)
	}
	h.Run("limit", "--state-dir", h.Path("origin"), "--origin-budget", "0.01").Succeed() // it is spent: what they get has to come from the first machine
	updated, fresh := get("updated", "--from", one), get("fresh")
	for want, p := range map[string]*swarmtest.Process{"patch": updated, "tree": fresh} {
		done := p.Succeed().Expect("done")
		if done.String("way") != want || done.Int("from.peers") < done.Int("from.origin") {
			t.Errorf("%v, want the %s, and most of it from the first machine", done, want)
		}
	}
	swarmtest.Same(t, two, h.Path("out", "updated", "app-2"))
	swarmtest.Same(t, two, h.Path("out", "fresh", "app-2"))
}

// A release that is one file has an archive and patches like one that is a tree, and they come to an origin by push.
func TestSingleFileHasArtefactsAndIsPushed(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	text := make([]byte, 900_000)
	rand.NewChaCha8([32]byte{2}).Read(text)
	digits := []byte(hex.EncodeToString(text)) // compresses to half
	one, two := h.Path("1", "tool"), h.Path("2", "tool")
	other := make([]byte, 1_100_000) // more than a patch that comes with the signed documents may have
	rand.NewChaCha8([32]byte{3}).Read(other)
	for path, parts := range map[string][][]byte{one: {digits}, two: {[]byte("changed"), digits, other}} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var whole []byte
		for _, p := range parts {
			whole = append(whole, p...)
		}
		if err := os.WriteFile(path, whole, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	repo := repositoryOf(h, one)
	pushed, token, root := h.Path("pushed"), h.Path("token"), filepath.Join(repo, "root.json")
	if err := errors.Join(os.CopyFS(pushed, os.DirFS(repo)), os.RemoveAll(filepath.Join(pushed, "keys", "offline")), os.WriteFile(token, []byte("0123456789abcdef\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	base := offered(h, pushed, "--token-file", token)
	h.Run("publish", two, "--as", "app@2", "--channel", "stable", "--repo", repo).Succeed()
	h.Run("push", repo, base, "--token-file", token).Succeed()

	for _, c := range []struct {
		version, way, content string
		most                  int64 // bytes over the net
	}{{"1", "archive", one, 1_000_000}, {"2", "patch", two, 1_120_000}} {
		done := h.Run("get", base+"app@"+c.version, "--root", root, "--state-dir", h.Path("state"), "-o", h.Path("out", c.version), "--from", h.Path("out", "1")).Succeed().Expect("done")
		if done.String("way") != c.way || done.Int("from.origin") > c.most {
			t.Errorf("version %s: %v, want the %s, and %d bytes at most", c.version, done, c.way, c.most)
		}
		swarmtest.Same(t, c.content, h.Path("out", c.version, "tool"))
	}
}
