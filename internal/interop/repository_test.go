package interop

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"

	"shoal/internal/release"
	"shoal/internal/swarmtest"
)

// repository publishes a tree as app@1 and app@2, the latter in the channel stable, with a root that has been rotated. releases more make the app large enough for
// its bins.
func repository(t *testing.T, h *swarmtest.Host, releases int) (dir, content string) {
	t.Helper()
	dir, content = h.Path("repo"), swarmtest.Tree(t, h.Path("content"), size)
	h.Run("init", dir, "--plain-keys", "--root-keys", "2", "--root-threshold", "2").Succeed()
	if releases > 0 {
		r, err := release.Open(dir, release.Config{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.Update(t.Context(), func(tx *release.Tx) error {
			for i := range releases {
				rel := release.Release{App: "app", Version: fmt.Sprintf("0.%d", i), Platform: "any", Artefacts: []release.Artefact{{Kind: "T", Name: "x", V2: fmt.Sprintf("%064x", i), Bytes: 1}}}
				if _, err := tx.Add(rel, []byte{byte(i)}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	h.Run("publish", h.Path("content", "small"), "--as", "app@1", "--channel", "stable", "--repo", dir).Succeed()
	h.Run("key", "rotate", "timestamp", "--repo", dir).Succeed()
	h.Run("publish", content, "--as", "app@2", "--channel", "stable", "--repo", dir).Succeed()
	return dir, content
}

// The repository is static files: copied to a web server of others, it works just the same.
func TestNginxServesARepository(t *testing.T) {
	swarmtest.Require(t, "interop", "nginx")
	t.Parallel()
	h := swarmtest.Local(t)
	dir, content := repository(t, h, 0)
	if err := os.CopyFS(h.Path("www", "sub"), os.DirFS(filepath.Join(dir, "public"))); err != nil {
		t.Fatal(err)
	}
	// As if it had been there for a while: a file of this second is not asked for conditionally.
	h.Do("find", h.Path("www"), "-type", "f", "-exec", "touch", "-d", "1 minute ago", "{}", "+")
	url := nginx(t, h, h.Path("www")) + "sub/"
	h.Run("get", url+"app:stable", "-o", h.Path("none")).Fail(5)
	out := h.Path("out")
	h.Run("get", url+"app:stable", "--root", filepath.Join(dir, "root.json"), "-o", out).Succeed()
	swarmtest.Same(t, content, filepath.Join(out, "app-2"))
	h.Run("get", "app@1", "-o", out).Succeed()
	swarmtest.Same(t, filepath.Join(content, "small"), filepath.Join(out, "app-1"))
	h.Run("inspect", url+"app:stable").Succeed()
	h.Run("log", "verify", "--repo", url).Succeed()
	// What the check before found unchanged cost: two requests.
	access, err := os.ReadFile(h.Path("tmp", "access.log"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(access)), "\n")
	want := []string{"/sub/metadata/3.root.json HTTP/1.1\" 404", "/sub/metadata/timestamp.json HTTP/1.1\" 304"}
	for _, w := range want {
		if n := strings.Count(string(access), w); n < 3 {
			t.Errorf("%q stands %d times in the access log, want 3 at least:\n%s", w, n, strings.Join(lines, "\n"))
		}
	}
	// Publishing again, in the documented order.
	h.Run("publish", h.Path("content", "data"), "--as", "app@3", "--channel", "stable", "--repo", dir).Succeed()
	for _, part := range []string{"content", "targets", "log", "metadata"} {
		h.Do("cp", "-R", filepath.Join(dir, "public", part), h.Path("www", "sub"))
	}
	h.Run("get", "app:stable", "-o", out).Succeed()
	swarmtest.Same(t, filepath.Join(content, "data"), filepath.Join(out, "app-3"))
}

// rsyncSteps are the commands that the README has for copying a repository.
func rsyncSteps(t *testing.T, public, where string) (steps [][]string) {
	t.Helper()
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if !strings.HasPrefix(line, "rsync ") {
			continue
		}
		var args []string
		for _, word := range strings.Fields(line)[1:] {
			word = strings.Trim(word, "'")
			word = strings.Replace(word, "repo/public", public, 1)
			args = append(args, strings.Replace(word, "WHERE", where, 1))
		}
		steps = append(steps, args)
	}
	if len(steps) < 3 {
		t.Fatalf("the README has %d steps", len(steps))
	}
	return steps
}

// A repository is copied by rsync in the documented order. Before, between and after the steps a machine that knows it, and one that does not, get the version
// before or the one after, although keys were rotated meanwhile.
func TestRsyncInTheDocumentedOrder(t *testing.T) {
	swarmtest.Require(t, "interop", "rsync")
	h := swarmtest.Local(t)
	dir, where := h.Path("repo"), h.Path("where")
	publish := func(version string) {
		t.Helper()
		file := h.Path("file")
		if err := os.WriteFile(file, []byte(version), 0o644); err != nil {
			t.Fatal(err)
		}
		h.Run("publish", file, "--as", "app@"+version, "--channel", "stable", "--repo", dir).Succeed()
	}
	gets := func(state, want string) {
		t.Helper()
		out := h.Path("out")
		h.Run("get", "app:stable", "--repo", where, "--root", filepath.Join(dir, "public", "metadata", "1.root.json"), "--state-dir", state, "-o", out).Succeed()
		if b, err := os.ReadFile(filepath.Join(out, "file")); err != nil || string(b) != want {
			t.Errorf("got version %q, %v, want %s", b, err, want)
		}
		if err := os.RemoveAll(out); err != nil {
			t.Fatal(err)
		}
	}
	h.Run("init", dir, "--plain-keys").Succeed()
	publish("1")
	steps := rsyncSteps(t, filepath.Join(dir, "public"), where)
	if err := os.Mkdir(where, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, args := range steps {
		h.Do("rsync", args...)
	}
	known := h.Path("known")
	gets(known, "1")
	for _, role := range []string{"root", "timestamp", "snapshot", "targets", "log", "app"} {
		h.Run("key", "rotate", role, "--repo", dir).Succeed()
	}
	publish("2")
	publish("3")
	want := "1"
	for i, args := range steps {
		h.Do("rsync", args...)
		if _, err := os.Stat(filepath.Join(where, "metadata", "2.root.json")); err == nil && i < len(steps)-1 {
			t.Errorf("step %d has copied a root before the last", i+1)
		}
		b, err := os.ReadFile(filepath.Join(dir, "public", "metadata", "timestamp.json"))
		if err != nil {
			t.Fatal(err)
		}
		if there, err := os.ReadFile(filepath.Join(where, "metadata", "timestamp.json")); err == nil && string(there) == string(b) {
			want = "3"
		}
		gets(known, want)
		gets(h.Path(fmt.Sprintf("new-%d", i)), want)
	}
	if want != "3" {
		t.Error("the timestamp was never copied")
	}
}

// targetsOf are the targets of app@2, with where they lie in the repository.
func targetsOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, glob := range []string{"releases/app/2/*.json", "channels/app/*.json", "metainfo/*.zst"} {
		files, err := filepath.Glob(filepath.Join(dir, "public", "targets", filepath.FromSlash(glob)))
		if err != nil || len(files) == 0 {
			t.Fatalf("no %s (%v)", glob, err)
		}
		for _, file := range files {
			if strings.HasPrefix(glob, "channels") { // of several, the newest
				if b, err := os.ReadFile(file); err != nil || !strings.Contains(string(b), `"version":"2"`) {
					continue
				}
			}
			rel, err := filepath.Rel(filepath.Join(dir, "public", "targets"), file)
			if err != nil {
				t.Fatal(err)
			}
			rel = filepath.ToSlash(rel)
			_, name, _ := strings.Cut(path.Base(rel), ".")
			if found[path.Join(path.Dir(rel), name)] = file; len(found) == 5 {
				return found
			}
		}
	}
	return found
}

// tuf-js and go-tuf's own updater read our repository, small and large.
func TestOtherTUFClients(t *testing.T) {
	swarmtest.Require(t, "interop", "node", "npm", "nginx")
	t.Parallel()
	js := t.TempDir()
	if err := os.CopyFS(js, os.DirFS("testdata/tuf-js")); err != nil {
		t.Fatal(err)
	}
	swarmtest.Local(t).Do("npm", "ci", "--prefix", js, "--no-audit", "--no-fund", "--ignore-scripts")
	for _, releases := range []int{0, 300} {
		t.Run(fmt.Sprintf("%d releases more", releases), func(t *testing.T) {
			h := swarmtest.Local(t)
			dir, _ := repository(t, h, releases)
			url := nginx(t, h, filepath.Join(dir, "public"))
			want := targetsOf(t, dir)
			var names []string
			for name := range want {
				names = append(names, name)
			}
			root := filepath.Join(dir, "public", "metadata", "1.root.json")
			t.Run("tuf-js", func(t *testing.T) {
				out := h.Do("node", append([]string{filepath.Join(js, "read.js"), root, url, h.Path("js")}, append(names, "releases/app/none/any.json")...)...)
				lines := strings.Split(strings.TrimSpace(out), "\n")
				if len(lines) != len(names)+1 {
					t.Fatalf("tuf-js has read %d targets, want %d and one that is not there:\n%s", len(lines), len(names), out)
				}
				for _, line := range lines {
					var got struct {
						Path, File string
						Length     int64
					}
					if err := json.Unmarshal([]byte(line), &got); err != nil {
						t.Fatal(err)
					}
					if got.Path == "releases/app/none/any.json" {
						if got.File != "" {
							t.Errorf("got %s", line)
						}
						continue
					}
					sameFile(t, want[got.Path], got.File)
				}
			})
			t.Run("go-tuf", func(t *testing.T) {
				b, err := os.ReadFile(root)
				if err != nil {
					t.Fatal(err)
				}
				c, err := config.New(url+"metadata", b)
				if err != nil {
					t.Fatal(err)
				}
				c.RemoteTargetsURL, c.LocalMetadataDir, c.LocalTargetsDir = url+"targets", h.Path("go", "metadata"), h.Path("go", "targets")
				u, err := updater.New(c)
				if err != nil {
					t.Fatal(err)
				}
				if err := u.Refresh(); err != nil {
					t.Fatal(err)
				}
				for name, file := range want {
					info, err := u.GetTargetInfo(name)
					if err != nil {
						t.Fatal(err)
					}
					got, _, err := u.DownloadTarget(info, "", "")
					if err != nil {
						t.Fatal(err)
					}
					sameFile(t, file, got)
				}
				if _, err := u.GetTargetInfo("releases/app/none/any.json"); err == nil {
					t.Error("go-tuf has found a release that is not there")
				}
			})
		})
	}
}

func sameFile(t *testing.T, want, got string) {
	t.Helper()
	a, err := os.ReadFile(want)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(got)
	if err != nil {
		t.Fatal(err)
	}
	if string(a) != string(b) {
		t.Errorf("%s is not %s", got, want)
	}
}
