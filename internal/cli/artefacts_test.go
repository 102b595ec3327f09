package cli

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shoal/internal/disk"
	"shoal/internal/release"
	"shoal/internal/swarmtest"
	"shoal/piece"
	"shoal/piece/delta"
)

// versions makes two versions of a tree with hex digits, which compress to half: the second has changed files, and one that is renamed, removed, added.
func versions(t *testing.T, h *swarmtest.Host) (one, two string) {
	t.Helper()
	rnd := rand.NewChaCha8([32]byte{1})
	random := func(n int) []byte {
		b := make([]byte, n)
		rnd.Read(b)
		return b
	}
	one, two = h.Path("one"), h.Path("two")
	write := func(dir, name string, b []byte) {
		t.Helper()
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	data := random(1_000_000)
	write(one, "lib/data", data)
	write(two, "lib/data", data)
	for i := range 20 {
		text := hex.EncodeToString(random(20_000))
		name := fmt.Sprintf("lib/%02d", i)
		write(one, name, []byte(text))
		switch i {
		case 4:
			name = "share/moved"
		case 5:
			continue
		default: // no piece stays what it was
			text = "# changed\n" + text
		}
		write(two, name, []byte(text))
	}
	write(two, "bin/new", random(1_100_000)) // so that the patch is one of those that swarms have
	write(two, "lib/empty", nil)
	return one, two
}

// hexDigits is a text of random hex digits, two for each of n bytes: it compresses to half.
func hexDigits(seed byte, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return hex.AppendEncode(nil, b)
}

// flip changes one bit of a file's byte at a place.
func flip(t *testing.T, path string, at int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 1
	if err := os.WriteFile(path, b, 0o755); err != nil {
		t.Fatal(err)
	}
}

// repositoryOf is a repository in which these paths are the versions 1, 2, … of app.
func repositoryOf(h *swarmtest.Host, publish ...string) (repo string) {
	repo = h.Path("repo")
	h.Run("init", repo, "--plain-keys").Succeed()
	for i, path := range publish {
		h.Run("publish", path, "--as", fmt.Sprintf("app@%d", i+1), "--channel", "stable", "--repo", repo).Succeed()
	}
	return repo
}

// offered has an origin serve a repository, and returns its base.
func offered(h *swarmtest.Host, repo string, args ...string) (base string) {
	p := h.Start(append([]string{"serve", repo, "--listen", "127.0.0.1:0", "--state-dir", h.Path("origin")}, args...)...)
	base = p.Expect("releases").String("url")
	p.Expect("ready")
	return base
}

// published is a repository with versions, on offer.
func published(h *swarmtest.Host, publish ...string) (base, root string) {
	repo := repositoryOf(h, publish...)
	return offered(h, repo), filepath.Join(repo, "root.json")
}

func TestUpdateCostsWhatChanged(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	one, two := versions(t, h)
	three := h.Path("three")
	if err := errors.Join(os.Mkdir(three, 0o755), os.CopyFS(filepath.Join(three, "renamed"), os.DirFS(two))); err != nil {
		t.Fatal(err)
	}
	base, root := published(h, one, two, three)
	out, state := h.Path("out"), h.Path("state")
	get := func(version, want string, most int64) swarmtest.Event {
		t.Helper()
		done := h.Run("get", base+"app@"+version, "--root", root, "--state-dir", state, "-o", out).Succeed().Expect("done")
		if done.String("way") != want || done.Int("from.origin") > most {
			t.Errorf("version %s: %v, want %s, and %d bytes from the origin at most", version, done, want, most)
		}
		if l := leftovers(t, out); len(l) > 0 {
			t.Errorf("version %s left behind %q", version, l)
		}
		return done
	}
	if done := get("1", "archive", 1_450_000); done.Int("from.reuse") != 0 || done.Int("saved_bytes") < 350_000 {
		t.Errorf("a fresh install: %v, want that nothing was here, and what compresses was saved", done)
	}
	swarmtest.Same(t, one, filepath.Join(out, "app-1"))
	if done := get("2", "patch", 1_150_000); done.String("patch_from") != "1" || done.Int("from.reuse") != done.Int("bytes")-done.Int("from.origin") {
		t.Errorf("an update: %v, want a patch from 1, and all but that from what was here", done)
	}
	swarmtest.Same(t, two, filepath.Join(out, "app-2"))
	if done := get("3", "patch", 10_000); done.String("patch_from") != "2" {
		t.Errorf("a renamed tree: %v, want a patch from 2", done)
	}
	swarmtest.Same(t, two, filepath.Join(out, "app-3", "renamed"))

	// A damaged installation fetches what is damaged.
	flip(t, filepath.Join(out, "app-3", "renamed", "bin", "new"), 500_000)
	get("3", "tree", 70_000)
	swarmtest.Same(t, two, filepath.Join(out, "app-3", "renamed"))

	// Nobody remembers this version: it is hashed, and recognized as what it is.
	plan := h.Run("plan", base+"app@2", "--root", root, "--state-dir", h.Path("other"), "--from", filepath.Join(out, "app-1")).Succeed().Expect("plan")
	if plan.String("way") != "patch" || plan.String("patch_from") != "1" {
		t.Errorf("%v, want a patch from 1", plan)
	}
}

// An old version of a single file is known by what is in it, whatever it is called.
func TestAPatchFromAFileOfAnotherName(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	old, new := h.Path("1", "tool"), h.Path("2", "tool")
	text := hexDigits(1, 500_000)
	for path, b := range map[string][]byte{old: text, new: append([]byte("changed"), text...)} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	base, root := published(h, old, new)
	aside := h.Path("tool.old")
	if err := os.Rename(old, aside); err != nil {
		t.Fatal(err)
	}
	done := h.Run("get", base+"app@2", "--root", root, "--state-dir", h.Path("state"), "--from", aside, "-o", h.Path("out")).Succeed().Expect("done")
	if done.String("way") != "patch" || done.Int("from.origin") > 10_000 {
		t.Errorf("%v, want a patch from the file that was put aside", done)
	}
	swarmtest.Same(t, new, h.Path("out", "tool"))
}

// Of a version from which there is no patch, and which nobody has ever published, files have blocks in common with the release that lie elsewhere in them.
func TestBlocksOfAnUnknownVersion(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	one, two := versions(t, h)
	base, root := published(h, two)
	args := []string{base + "app@1", "--root", root, "--from", one, "-o", h.Path("out"), "--state-dir", h.Path("state")}
	plan := h.Run(append([]string{"plan"}, args...)...).Succeed().Expect("plan")
	if plan.String("way") != "tree" || !strings.Contains(fmt.Sprint(plan), "blocks of 16 KiB") {
		t.Errorf("%v, want the tree, for its blocks that are here", plan)
	}
	for _, peers := range []string{"off", "site"} { // by ranges over HTTP, and by blocks from a peer
		out := h.Path(peers)
		done := h.Run(append([]string{"get", "--peers", peers}, append(args, "-o", out)...)...).Succeed().Expect("done")
		if n := done.Int("from.origin"); done.String("way") != "tree" || n > 1_410_000 || done.Int("from.reuse")+n < done.Int("bytes") || done.Int("wasted_bytes") > 0 {
			t.Errorf("peers %s: %v, want the tree, and of it only the new file and the first block of those that have changed", peers, done)
		}
		swarmtest.Same(t, two, filepath.Join(out, "app-1"))
	}
}

// What is made of a release before its first patch is told as it goes: a large one takes a while.
func TestPublishTellsOfTheIndex(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	file := swarmtest.File(t, h.Path("tool"), 2<<20)
	h.Run("init", h.Path("repo"), "--plain-keys").Succeed()
	p := h.Run("publish", file, "--as", "tool@1", "--repo", h.Path("repo")).Succeed()
	p.Expect("start", func(e swarmtest.Event) bool { return e.String("name") == "indexing tool@1" && e.Int("total") == 2<<20 })
}

// A patch that is signed and makes nonsense, or is nonsense, costs its bytes and no more.
func TestMaliciousPatch(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	one, two := versions(t, h)
	base, root := published(h, one, two)
	r, err := release.Open(h.Path("repo"), release.Config{})
	if err != nil {
		t.Fatal(err)
	}
	first, err := r.Lookup(t.Context(), "app", "1", "any")
	if err != nil {
		t.Fatal(err)
	}
	old, _, err := piece.Build(t.Context(), one, piece.BuildConfig{Name: "app-1"})
	if err != nil {
		t.Fatal(err)
	}
	made, _, err := piece.Build(t.Context(), two, piece.BuildConfig{Name: "app-2"})
	if err != nil {
		t.Fatal(err)
	}
	lies := delta.Dir(made.Info, two)
	open := lies.Open
	lies.Open = func(file int) (delta.Source, error) {
		s, err := open(file)
		if err != nil || !strings.HasSuffix(made.Files[file].Name(made.Info), "new") {
			return s, err
		}
		return noughts{}, s.Close()
	}
	var wrong strings.Builder
	if _, err := delta.Diff(t.Context(), delta.Dir(old.Info, one), lies, &wrong, delta.Options{}); err != nil {
		t.Fatal(err)
	}
	whole := wrong.String()
	nothing, some := "the patch from 1 did not do", "the patch from 1 made all but 1.0 MiB of 2.7 MiB right"
	for i, c := range []struct{ name, data, notice string }{
		{"garbage", strings.Repeat("garbage", 1000), nothing}, {"cut off", whole[:len(whole)-5], some},
		{"of another format", strings.Replace(whole, "delta 4", "delta 3", 1), nothing}, {"other bytes", whole, some},
		{"copies from anywhere", whole[:len(whole)/2] + strings.Repeat("\xA5\x3C", len(whole)/4) + whole[len(whole)/2:], nothing}, // any code decodes to some ops
		{"more than was signed", whole + whole[len(whole)/2:], some},
	} {
		a := release.Artefact{Kind: "P", From: "1", Base: first.Tree().V2, Name: "patch", Bytes: int64(len(c.data))}
		if _, err := r.Update(t.Context(), func(tx *release.Tx) error {
			return tx.AddPatches("app", "2", "any", []release.Patch{{Artefact: a, Data: []byte(c.data)}})
		}); err != nil {
			t.Fatal(err)
		}
		out := h.Path(fmt.Sprint("out", i))
		p := h.Run("get", base+"app@2", "--root", root, "--state-dir", h.Path(fmt.Sprint("state", i)), "--from", one, "-o", out).Succeed()
		if done := p.Expect("done"); done.String("way") == "patch" || done.Int("from.origin") > 2_600_000 {
			t.Errorf("%s: %v, want another way than the patch, and its bytes and those of the patch at most", c.name, done)
		}
		if n := p.Events("notice"); len(n) == 0 || !strings.Contains(n[len(n)-1].String("message"), c.notice) {
			t.Errorf("%s: notices %v, want %q", c.name, n, c.notice)
		}
		swarmtest.Same(t, two, filepath.Join(out, "app-2"))
	}
}

// Whenever the machine is killed, the next run goes on, and what has come is not fetched again.
func TestUpdateSurvivesKills(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	one, two := versions(t, h)
	base, root := published(h, one, two)
	out := h.Path("out")
	args := func(version string, more ...string) []string {
		return append([]string{"get", base + "app@" + version, "--root", root, "--state-dir", h.Path("state"), "-o", out}, more...)
	}
	for _, c := range []struct {
		version, content string
		archive          int64 // most that may come over the net in the last run
	}{{"1", one, 1_300_000}, {"2", two, 1_000_000}} {
		// While it arrives:
		p := h.Start(args(c.version, "--limit-down", "500Ki")...)
		p.Expect("progress", func(e swarmtest.Event) bool { return e.Int("from.origin") > 200_000 })
		p.Kill()
		p.Wait()
		if len(leftovers(t, out)) == 0 {
			t.Errorf("version %s: nothing is left of an interrupted run", c.version)
		}
		// After something was decided, while what came is put together, and in place:
		for _, after := range []time.Duration{0, 5 * time.Millisecond, 30 * time.Millisecond, 80 * time.Millisecond} {
			p := h.Start(args(c.version, "--limit-down", "2Mi")...)
			p.Expect("plan")
			time.Sleep(after)
			p.Kill()
			p.Wait()
		}
		done := h.Run(args(c.version)...).Succeed().Expect("done")
		if done.Int("from.origin") > c.archive {
			t.Errorf("version %s: %v, want what had come not to be fetched again", c.version, done)
		}
		swarmtest.Same(t, c.content, filepath.Join(out, "app-"+c.version))
		if l := leftovers(t, out); len(l) > 0 {
			t.Errorf("version %s left behind %q", c.version, l)
		}
	}
	// While pieces repair what is installed:
	path := filepath.Join(out, "app-2", "bin", "new")
	if err := os.WriteFile(path, make([]byte, 1_100_000), 0o755); err != nil {
		t.Fatal(err)
	}
	p := h.Start(args("2", "--limit-down", "500Ki")...)
	p.Expect("progress", func(e swarmtest.Event) bool { return e.Int("done") > 200_000 })
	p.Kill()
	p.Wait()
	if done := h.Run(args("2")...).Succeed().Expect("done"); done.String("way") != "tree" || done.Int("from.origin") > 1_050_000 {
		t.Errorf("a repair: %v, want the tree, and what had come not to be fetched again", done)
	}
	swarmtest.Same(t, two, filepath.Join(out, "app-2"))
}

// The machine is killed when a patch has made a part of a file and waits for the bytes of the next section: what the patch had brought is not fetched again.
func TestKilledWhileAPatchIsApplied(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	one, two := h.Path("one"), h.Path("two")
	same, random := make([]byte, 2<<20), make([]byte, 5<<18)
	rnd := rand.NewChaCha8([32]byte{7})
	rnd.Read(same)
	rnd.Read(random)
	added := []byte(hex.EncodeToString(random)) // three sections of a patch, which has half of it
	for _, dir := range []string{one, two} {
		if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "same"), same, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(two, "added"), added, 0o644); err != nil {
		t.Fatal(err)
	}
	base, root := published(h, one, two)
	out := h.Path("out")
	args := []string{"get", base + "app@2", "--root", root, "--state-dir", h.Path("state"), "--from", one, "-o", out}
	var there int64
	p := h.Start(append(args, "--limit-down", "512Ki")...)
	waitUntil(t, "more of the tree than a patch is large", func() bool {
		there = mostParts(t, out) - int64(len(same))
		return there > 512<<10
	})
	p.Kill()
	p.Wait()
	done := h.Run(args...).Succeed().Expect("done")
	if done.String("way") != "patch" || done.Int("from.origin") > int64(len(random))*11/10-there/2 {
		t.Errorf("%v: want the patch to go on after %d bytes", done, there)
	}
	swarmtest.Same(t, two, filepath.Join(out, "app-2"))
	if l := leftovers(t, out); len(l) > 0 {
		t.Errorf("it left behind %q", l)
	}
}

// mostParts is how much of the disk the parts of that fetch take that has most.
func mostParts(t *testing.T, dir string) (most int64) {
	t.Helper()
	for _, work := range leftovers(t, dir) {
		paths, err := filepath.Glob(filepath.Join(work, "parts", "*"))
		if err != nil {
			t.Fatal(err)
		}
		var sum int64
		for _, path := range paths {
			if f, err := os.Open(path); err == nil { // else it has just got its name
				sum += disk.Allocated(f)
				f.Close()
			}
		}
		most = max(most, sum)
	}
	return most
}

// noughts is a file of zeros.
type noughts struct{}

func (noughts) ReadAt(b []byte, _ int64) (int, error) { clear(b); return len(b), nil }
func (noughts) Close() error                          { return nil }
