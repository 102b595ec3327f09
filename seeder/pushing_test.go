package seeder

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"shoal/internal/deliver"
	"shoal/internal/release"
	"shoal/internal/webseed"
	"shoal/swarm"
)

const pushToken = "0123456789abcdef"

// pushed is an origin that takes pushes, and a publisher elsewhere. cut, if it is positive, is after how many bytes of content the line breaks.
type pushed struct {
	t      *testing.T
	origin *release.Repository
	base   *url.URL
	cut    atomic.Int64
}

// newPushed has app@1 at the origin, which has no offline keys, and returns the publisher's repository, which has all.
func newPushed(t *testing.T) (*pushed, *release.Repository) {
	t.Helper()
	r := initRepository(t)
	publish(t, r, "app", "1", []byte("version 1"))
	p := &pushed{t: t, origin: copyOf(t, r)}
	if err := os.RemoveAll(filepath.Join(p.origin.Dir(), "keys", "offline")); err != nil {
		t.Fatal(err)
	}
	files := ServeRepository(p.origin.Public())
	pushes := &Pushes{Repository: p.origin, Token: pushToken, Log: slog.New(slog.DiscardHandler)}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !strings.HasPrefix(req.URL.Path, PushPath) {
			files.ServeHTTP(w, req)
			return
		}
		if p.cut.Load() > 0 && req.Method == http.MethodPut && strings.Contains(req.URL.Path, "/content/") {
			req.Body = &breaking{req.Body, &p.cut}
		}
		pushes.ServeHTTP(w, req)
	}))
	t.Cleanup(s.Close)
	var err error
	if p.base, err = url.Parse(s.URL + "/"); err != nil {
		t.Fatal(err)
	}
	return p, r
}

// breaking is a body that breaks off when left is used up.
type breaking struct {
	io.ReadCloser
	left *atomic.Int64
}

func (b *breaking) Read(buf []byte) (int, error) {
	left := b.left.Load()
	if left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := b.ReadCloser.Read(buf[:min(int64(len(buf)), left)])
	if b.left.Add(-int64(n)) == 0 {
		b.left.Store(-1)
	}
	return n, err
}

func publish(t *testing.T, r *release.Repository, app, version string, content []byte) {
	t.Helper()
	file := filepath.Join(t.TempDir(), app)
	if err := os.WriteFile(file, content, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Publish(t.Context(), r, file, PublishConfig{App: app, Version: version, Platform: "any", Channel: "stable"}); err != nil {
		t.Fatal(err)
	}
}

// copyOf is a copy of a repository with all its keys.
func copyOf(t *testing.T, r *release.Repository) *release.Repository {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(dir, os.DirFS(r.Dir())); err != nil {
		t.Fatal(err)
	}
	c, err := release.Open(dir, release.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (p *pushed) push(r *release.Repository) (*deliver.Pushed, error) {
	return deliver.Push(p.t.Context(), r, deliver.PushConfig{URL: p.base, Token: pushToken})
}

// machine is a client that remembers.
type machine struct {
	p   *pushed
	dir string
}

func (p *pushed) machine() *machine { return &machine{p, p.t.TempDir()} }

// gets wants a version of an app from the origin, in its channel stable.
func (m *machine) gets(app, version string) {
	m.p.t.Helper()
	c := deliver.ReleaseConfig{StateDir: m.dir, Root: filepath.Join(m.p.origin.Public(), "metadata", "1.root.json")}
	f, err := deliver.CheckRelease(m.p.t.Context(), deliver.Source{Kind: deliver.KindRelease, Release: deliver.Release{Repository: m.p.base, App: app, Channel: "stable"}}, c)
	if err != nil {
		m.p.t.Fatalf("%s:stable: %v, want version %s", app, err, version)
	}
	if f.Version != version {
		m.p.t.Fatalf("%s:stable is %s, want %s", app, f.Version, version)
	}
}

// live are all public files of the origin.
func (p *pushed) live() map[string]string {
	p.t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(p.origin.Public(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		files[path] = string(b)
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return files
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{7}).Read(b)
	return b
}

// What is pushed comes at the rate of the limit, and takes as long as that is: the time that an answer may take begins after it.
func TestPushIsHeldByTheLimit(t *testing.T) {
	r := initRepository(t)
	var pace swarm.Pace
	pace.Set(100_000)
	pushes := &Pushes{Repository: r, Token: pushToken, Limit: func(*http.Request) webseed.Limiter { return &pace }, Log: slog.New(slog.DiscardHandler)}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		http.NewResponseController(w).SetWriteDeadline(time.Now().Add(50 * time.Millisecond)) // as that of a page
		pushes.ServeHTTP(w, req)
	}))
	t.Cleanup(s.Close)
	req, err := http.NewRequest(http.MethodPut, s.URL+PushPath+"/content/"+strings.Repeat("ab", 32)+"/name", bytes.NewReader(make([]byte, 60_000)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+pushToken)
	req.Header.Set("Upload-Offset", "0")
	begin := time.Now()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if took := time.Since(begin); resp.StatusCode != http.StatusNoContent || took < 300*time.Millisecond {
		t.Errorf("status %d after %v; want 204 after 60 KB at 100 KB/s", resp.StatusCode, took)
	}
}

// A push that breaks off goes on where it was; until it is whole nothing of it is to be seen.
func TestPushGoesOn(t *testing.T) {
	p, r := newPushed(t)
	m := p.machine()
	m.gets("app", "1")
	const size, first = 3_000_000, 1_234_567
	publish(t, r, "app", "2", random(size))
	p.cut.Store(first)
	before := p.live()
	if _, err := p.push(r); err == nil {
		t.Fatal("a push whose line breaks has succeeded")
	}
	if !maps.Equal(before, p.live()) {
		t.Error("half a push has changed what is public")
	}
	m.gets("app", "1")
	p.cut.Store(0)
	done, err := p.push(r)
	if err != nil {
		t.Fatal(err)
	}
	if rest := done.Bytes - (size - first); rest < 0 || rest > 50_000 {
		t.Errorf("the second push has sent %d bytes; want the %d that were missing, and metadata", done.Bytes, size-first)
	}
	m.gets("app", "2")
	if done, err = p.push(r); err != nil || !done.Nothing || done.Bytes != 0 {
		t.Errorf("once more: %+v, %v, want nothing to do", done, err)
	}
	if left, err := filepath.Glob(filepath.Join(p.origin.Dir(), "incoming", "content", "*", "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// What half a push has left is checked like everything else: if it is not right it is sent again.
func TestPushOverDamage(t *testing.T) {
	p, r := newPushed(t)
	publish(t, r, "app", "2", random(300_000))
	p.cut.Store(100_000)
	if _, err := p.push(r); err == nil {
		t.Fatal("a push whose line breaks has succeeded")
	}
	p.cut.Store(0)
	half, err := filepath.Glob(filepath.Join(p.origin.Dir(), "incoming", "content", "*", "app"))
	if err != nil || len(half) != 1 {
		t.Fatalf("half a file in %q, %v", half, err)
	}
	if err := os.WriteFile(half[0], make([]byte, 100_000), 0o644); err != nil {
		t.Fatal(err)
	}
	before := p.live()
	if _, err := p.push(r); err == nil || !strings.Contains(err.Error(), "does not match") {
		t.Fatalf("%v, want to be told that the content does not match", err)
	}
	if !maps.Equal(before, p.live()) {
		t.Error("a refused push has changed what is public")
	}
	if _, err := p.push(r); err != nil {
		t.Fatal(err)
	}
	p.machine().gets("app", "2")
}

// send brings what is new in r to the origin as deliver.Push does, with files and roles as change leaves them.
func (p *pushed) send(r *release.Repository, change func(files map[string][]byte, roles []release.PushedRole) []release.PushedRole) (status int, result PushResult) {
	p.t.Helper()
	first, err := r.FirstRoot(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	trust, err := release.NewTrust(p.t.Context(), release.TrustConfig{Files: p.origin.Files(), Root: first})
	if err != nil {
		p.t.Fatal(err)
	}
	if err := trust.Refresh(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
	out, err := r.Compare(p.t.Context(), trust)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, l := range out.Contents {
		out.Files = append(out.Files, "content/"+l.Artefact.V2+"/"+l.Artefact.Name)
	}
	files := map[string][]byte{}
	for _, path := range out.Files {
		if files[path], err = os.ReadFile(filepath.Join(r.Public(), filepath.FromSlash(path))); err != nil {
			p.t.Fatal(err)
		}
	}
	roles := change(files, out.Roles)
	ask := func(method, path string, body []byte) *http.Response {
		u := p.base.JoinPath(PushPath, path)
		req, err := http.NewRequestWithContext(p.t.Context(), method, u.String(), bytes.NewReader(body))
		if err != nil {
			p.t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+pushToken)
		req.Header.Set("Upload-Offset", "0")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			p.t.Fatal(err)
		}
		return resp
	}
	for path, b := range files {
		resp := ask(http.MethodPut, path, b)
		resp.Body.Close()
		if resp.StatusCode != http.StatusNoContent {
			p.t.Fatalf("PUT %s: %s", path, resp.Status)
		}
	}
	b, err := json.Marshal(roles)
	if err != nil {
		p.t.Fatal(err)
	}
	resp := ask(http.MethodPost, "", b)
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&result); err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, result
}

// What is not as it should be does not take effect, and what is public stays as it was, byte by byte.
func TestPushIsChecked(t *testing.T) {
	p, r := newPushed(t)
	other := initRepository(t) // whose keys count for nothing
	publish(t, other, "app", "1", []byte("other"))
	publish(t, other, "app", "2", []byte("evil"))
	publish(t, r, "app", "2", []byte("version 2"))
	if _, err := r.Update(t.Context(), func(tx *release.Tx) error { _, _, err := tx.RotateKey("root", ""); return err }); err != nil {
		t.Fatal(err)
	}
	read := func(r *release.Repository, path string) []byte {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(r.Public(), filepath.FromSlash(path)))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	below := func(files map[string][]byte, prefix string) string {
		t.Helper()
		for path := range files {
			if strings.HasPrefix(path, prefix) {
				return path
			}
		}
		t.Fatalf("nothing below %s is pushed", prefix)
		return ""
	}
	const role, root = "metadata/2.app-app.json", "metadata/2.root.json"
	type (
		sent  = map[string][]byte
		roles = []release.PushedRole
	)
	only := func(list roles, keep ...string) (out roles) {
		for _, one := range list {
			for _, name := range keep {
				if one.Role == name {
					out = append(out, one)
				}
			}
		}
		return out
	}
	for _, c := range []struct {
		name   string
		change func(files sent, list roles) roles
		status int
		rule   release.Rule
	}{
		{"signed with other keys", func(f sent, l roles) roles { f[role] = read(other, role); return l }, 422, release.RuleSignature},
		{"not signed", func(f sent, l roles) roles {
			f[role] = append(f[role][:bytes.Index(f[role], []byte(`"signatures":`))], `"signatures":[]}`...)
			if i := bytes.Index(f[role], []byte(`{"signatures":[]}`)); i >= 0 { // signatures come first
				f[role] = []byte(`{"signatures":[],"signed":{}}`)
			}
			return l
		}, 422, ""},
		{"changed after it was signed", func(f sent, l roles) roles {
			f[role] = bytes.Replace(f[role], []byte(`"version":2`), []byte(`"version":3`), 1)
			l[1].Version = 2
			return l
		}, 422, ""},
		{"rolled back", func(f sent, l roles) roles {
			for i := range l {
				if l[i].Role == "app-app" {
					f["metadata/1.app-app.json"], l[i].Version = read(r, "metadata/1.app-app.json"), 1
				}
			}
			return l
		}, 422, release.RuleRollback},
		{"forked", func(f sent, l roles) roles {
			for i := range l {
				if l[i].Role == "app-app" {
					l[i].Base = strings.Repeat("0", 64)
				}
			}
			return l
		}, 409, "conflict"},
		{"a root of others", func(f sent, l roles) roles { f[root] = read(other, "metadata/1.root.json"); return l }, 422, release.RuleRollback},
		{"a root that does not follow", func(f sent, l roles) roles {
			f[root] = bytes.Replace(f[root], []byte(`"sig":"`), []byte(`"sig":"00`), 2)
			return l
		}, 422, ""},
		{"a root left out", func(f sent, l roles) roles { delete(f, root); return l }, 422, ""},
		{"a role that no publisher signs", func(f sent, l roles) roles {
			return append(l, release.PushedRole{Role: "snapshot", Version: 9})
		}, 422, release.RuleMalformed},
		{"a role of nobody", func(f sent, l roles) roles { return append(l, release.PushedRole{Role: "app-none", Version: 1}) }, 422, ""},
		{"no document", func(f sent, l roles) roles { delete(f, below(f, "targets/releases/")); return l }, 422, release.RuleIncomplete},
		{"another document", func(f sent, l roles) roles {
			path := below(f, "targets/releases/")
			f[path] = bytes.Replace(f[path], []byte(`"bytes":9`), []byte(`"bytes":8`), 1)
			return l
		}, 422, release.RuleTampered},
		{"another metainfo", func(f sent, l roles) roles {
			path := below(f, "targets/metainfo/")
			f[path][len(f[path])-1] ^= 1
			return l
		}, 422, release.RuleTampered},
		{"no content", func(f sent, l roles) roles { delete(f, below(f, "content/")); return l }, 422, release.RuleIncomplete},
		{"other content", func(f sent, l roles) roles { f[below(f, "content/")] = []byte("Version 2"); return l }, 422, release.RuleIncomplete},
		{"half of the content", func(f sent, l roles) roles { path := below(f, "content/"); f[path] = f[path][:4]; return l }, 422, release.RuleIncomplete},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := os.RemoveAll(filepath.Join(p.origin.Dir(), "incoming")); err != nil {
				t.Fatal(err)
			}
			before := p.live()
			status, result := p.send(r, c.change)
			if status != c.status || result.Message == "" || c.rule != "" && result.Rule != string(c.rule) {
				t.Errorf("%d %+v, want %d by the rule %q", status, result, c.status, c.rule)
			}
			if after := p.live(); !maps.Equal(before, after) {
				t.Errorf("a refused push has changed what is public")
			}
		})
	}
	p.machine().gets("app", "1")
	// The role without the root, and a file that nobody has signed beside the content: the former is fine, the latter does not become public.
	status, result := p.send(r, func(f sent, l roles) roles {
		f[below(f, "content/")[:len("content/")+64]+"/unsigned"] = []byte("evil")
		return only(l, "app-app")
	})
	if status != http.StatusOK {
		t.Fatalf("%d %+v", status, result)
	}
	for path := range p.live() {
		if strings.HasSuffix(path, "unsigned") {
			t.Errorf("%s is public", path)
		}
	}
	p.machine().gets("app", "2")
}

// A channel that is set back and forth within a second has the same document again, which is public already: it is not sent, and counts as brought. One that is damaged
// there is sent.
func TestPushOfWhatIsPublic(t *testing.T) {
	p, r := newPushed(t)
	now := time.Now().Truncate(time.Second)
	r, err := release.Open(r.Dir(), release.Config{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	publish(t, r, "app", "2", []byte("version 2"))
	m := p.machine()
	promote := func(version string) {
		t.Helper()
		if _, err := r.Update(t.Context(), func(tx *release.Tx) error { _, err := tx.Promote("app", version, "stable"); return err }); err != nil {
			t.Fatal(err)
		}
		if _, err := p.push(r); err != nil {
			t.Fatalf("pushing %s: %v", version, err)
		}
		m.gets("app", version)
	}
	promote("1")
	documents := func() []string {
		t.Helper()
		list, err := filepath.Glob(filepath.Join(p.origin.Public(), "targets", "channels", "app", "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	promote("2")
	promote("1")
	public := documents()
	promote("2")
	if got := documents(); !slices.Equal(got, public) {
		t.Fatalf("documents %q, want only %q: nothing was the same again", got, public)
	}
	for _, path := range public {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, bytes.ToUpper(b), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	promote("1")
}

// The token is checked where there is nothing to push, too: that is how somebody finds out whether it is right.
func TestPushOfNothingChecksTheToken(t *testing.T) {
	p, r := newPushed(t)
	if done, err := p.push(r); err != nil || !done.Nothing {
		t.Fatalf("%+v, %v, want nothing", done, err)
	}
	_, err := deliver.Push(t.Context(), r, deliver.PushConfig{URL: p.base, Token: "another 0123456789"})
	if refusal, ok := errors.AsType[*deliver.PushError](err); !ok || refusal.Status != http.StatusUnauthorized {
		t.Errorf("with another token: %v, want it to be refused", err)
	}
}

// Keys are rotated where they are, and the roots that say so are pushed: several at once, and while a client sleeps.
func TestPushOfRoots(t *testing.T) {
	p, r := newPushed(t)
	sleeper := p.machine()
	sleeper.gets("app", "1")
	online := func() { // what the administrator does first
		t.Helper()
		if err := os.CopyFS(filepath.Join(p.origin.Dir(), "keys", "online"), newFilesOf(filepath.Join(r.Dir(), "keys", "online"), filepath.Join(p.origin.Dir(), "keys", "online"))); err != nil {
			t.Fatal(err)
		}
	}
	rotate := func(roles ...string) {
		t.Helper()
		for _, role := range roles {
			if _, err := r.Update(t.Context(), func(tx *release.Tx) error { _, _, err := tx.RotateKey(role, ""); return err }); err != nil {
				t.Fatal(err)
			}
		}
	}
	rotate("root")
	done, err := p.push(r)
	if err != nil || len(done.Roles) != 1 || done.Roles[0] != "root 2" {
		t.Fatalf("%+v, %v, want root 2", done, err)
	}
	awake := p.machine()
	awake.gets("app", "1")
	sleeperToo := p.machine()
	sleeperToo.gets("app", "1")
	rotate("timestamp")
	before := p.live()
	if _, err := p.push(r); err == nil || !strings.Contains(err.Error(), "a key of timestamp is not there") {
		t.Fatalf("%v, want to be told which key is missing", err)
	}
	if !maps.Equal(before, p.live()) {
		t.Error("a refused push has changed what is public")
	}
	rotate("snapshot", "targets", "log", "root", "app", "root", "item")
	publish(t, r, "app", "2", []byte("version 2"))
	online()
	if done, err = p.push(r); err != nil || done.Roles[len(done.Roles)-1] == "" {
		t.Fatal(err)
	}
	for _, m := range []*machine{awake, sleeper, sleeperToo, p.machine()} {
		m.gets("app", "2")
	}
	// The publisher's repository and the origin's are the same again, and both go on.
	if done, err = p.push(r); err != nil || !done.Nothing {
		t.Fatalf("%+v, %v", done, err)
	}
	publish(t, r, "app", "3", []byte("version 3"))
	if _, err = p.push(r); err != nil {
		t.Fatal(err)
	}
	awake.gets("app", "3")
}

// newFilesOf is dir without the files that other has as well.
func newFilesOf(dir, other string) fs.FS { return lacking{os.DirFS(dir), other} }

type lacking struct {
	fs.FS
	other string
}

func (l lacking) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(l.FS, name)
	var out []fs.DirEntry
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join(l.other, e.Name())); err != nil {
			out = append(out, e)
		}
	}
	return out, err
}

// Publishers of several apps have a key each, and do not know of each other.
func TestPushOfSeveralPublishers(t *testing.T) {
	p, first := newPushed(t)
	publish(t, first, "other", "1", []byte("other 1"))
	if _, err := p.push(first); err != nil {
		t.Fatal(err)
	}
	alone := func(keep string) *release.Repository {
		t.Helper()
		r := copyOf(t, first)
		keys, err := filepath.Glob(filepath.Join(r.Dir(), "keys", "*", "*.key"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range keys {
			if !strings.HasPrefix(filepath.Base(path), keep) {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
		}
		return r
	}
	a, b := alone("app-app-"), alone("app-other-")
	publish(t, a, "app", "2", []byte("app 2"))
	publish(t, b, "other", "2", []byte("other 2"))
	second := copyOf(t, a)
	publish(t, second, "app", "2b", []byte("the same publisher elsewhere"))
	file := filepath.Join(t.TempDir(), "evil")
	if err := os.WriteFile(file, []byte("evil"), 0o644); err != nil {
		t.Fatal(err)
	}
	var missing *release.KeysMissingError
	if _, err := Publish(t.Context(), a, file, PublishConfig{App: "other", Version: "3", Platform: "any"}); !errors.As(err, &missing) {
		t.Errorf("%v, want to be told that the key of the other app is missing", err)
	}
	for _, r := range []*release.Repository{a, b} {
		if _, err := p.push(r); err != nil {
			t.Fatal(err)
		}
	}
	m := p.machine()
	m.gets("app", "2")
	m.gets("other", "2")
	// a has not heard of b yet, and b of a's has.
	publish(t, a, "app", "3", []byte("app 3"))
	if _, err := p.push(a); err != nil {
		t.Fatal(err)
	}
	if o, err := a.Inspect(t.Context()); err != nil || o.Unpublished || len(o.Apps) != 2 ||
		!slices.ContainsFunc(o.Apps[1].Releases, func(x release.ReleaseInfo) bool { return x.Version == "2" }) {
		t.Errorf("a knows %+v, %v; want other@2 among it", o, err)
	}
	m.gets("app", "3")
	m.gets("other", "2")
	// Two of one app: the second is told, nothing is lost, and its release is where it was.
	if _, err := p.push(second); !errors.Is(err, release.ErrConflict) {
		t.Errorf("%v, want a conflict", err)
	}
	m.gets("app", "3")
	if rel, err := second.Lookup(t.Context(), "app", "2b", "any"); err != nil || rel == nil {
		t.Errorf("the release that could not be pushed is gone: %v", err)
	}
}
