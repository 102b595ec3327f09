package release

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// The attacks that the TUF specification lists (1.5.2), and those on the log. Each begins with a client that has seen version 1, and must end with a refusal that
// names its rule.

// seen is a repository with version 1 of app, and a client that has fetched it.
func seen(t testing.TB) (*testRepo, *client) {
	t.Helper()
	r := newRepo(t, InitConfig{})
	r.publish("app", "1", "stable")
	c := r.client()
	c.gets(r.Files(), "app:stable", "1")
	return r, c
}

// key returns the private key of a role: it has been stolen.
func (r *testRepo) key(role string) *Key {
	r.t.Helper()
	keys, err := readKeys(r.offlineDir(), r.onlineDir())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, k := range keys {
		if k.Role == role {
			return k
		}
	}
	r.t.Fatalf("no key of %s", role)
	return nil
}

// sign signs metadata with keys and encodes it.
func sign[T metadata.Roles](t testing.TB, m *metadata.Metadata[T], keys ...*Key) []byte {
	t.Helper()
	m.Signatures = nil
	for _, k := range keys {
		if err := addSignature(m, k); err != nil {
			t.Fatal(err)
		}
	}
	b, err := encodeMeta(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func parse[T metadata.Roles](t testing.TB, b []byte) *metadata.Metadata[T] {
	t.Helper()
	m, err := parseMeta[T](b, maxTargets)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// forge replaces what timestamp and snapshot say about the files, and signs both: somebody has the origin's online keys.
func (r *testRepo) forge(m *memory, roles ...string) {
	r.t.Helper()
	ts := parse[metadata.TimestampType](r.t, m.files[timestampName])
	sn := parse[metadata.SnapshotType](r.t, m.files[metaName(roleSnapshot, ts.Signed.Meta["snapshot.json"].Version)])
	for _, role := range roles {
		for version := int64(50); version > 0; version-- {
			if b := m.files[metaName(role, version)]; b != nil {
				sn.Signed.Meta[role+".json"] = describeMeta(version, b)
				break
			}
		}
	}
	sn.Signed.Version++
	b := sign(r.t, sn, r.key(roleSnapshot))
	m.files[metaName(roleSnapshot, sn.Signed.Version)] = b
	ts.Signed.Version++
	ts.Signed.Meta["snapshot.json"] = describeMeta(sn.Signed.Version, b)
	m.files[timestampName] = sign(r.t, ts, r.key(roleTimestamp))
}

func TestArbitrarySoftware(t *testing.T) {
	r, c := seen(t)
	r.publish("app", "2", "stable")
	t.Run("another metainfo", func(t *testing.T) {
		m := r.copy()
		for path := range m.files {
			if strings.HasPrefix(path, "targets/metainfo/") {
				m.files[path] = []byte("metainfo of " + strings.Repeat("x", 64)) // of the same length
			}
		}
		c.clone().refuses(m, "app:stable", RuleTampered)
	})
	t.Run("another release document", func(t *testing.T) {
		m := r.copy()
		for path, b := range m.files {
			if strings.HasPrefix(path, "targets/releases/app/2/") {
				m.files[path] = bytes.Replace(b, []byte(`"bytes":1000`), []byte(`"bytes":1001`), 1)
			}
		}
		c.clone().refuses(m, "app:stable", RuleTampered)
	})
	t.Run("signed with another key, the origin's keys stolen", func(t *testing.T) {
		m := r.copy()
		mallory, err := newKey(appRole("app"))
		if err != nil {
			t.Fatal(err)
		}
		app := parse[metadata.TargetsType](t, m.files[metaName("app-app", 2)])
		app.Signed.Version = 3
		evil := content("app", "3", AnyPlatform)
		b, err := evil.encode()
		if err != nil {
			t.Fatal(err)
		}
		app.Signed.Targets[releasePath("app", "3", AnyPlatform)] = describeTarget(b)
		m.files[targetFile(releasePath("app", "3", AnyPlatform), sha256Hex(b))] = b
		for _, keys := range [][]*Key{{mallory}, {r.key(roleSnapshot), r.key(roleTimestamp), r.key(roleRollout), r.key(roleLog)}, {r.key(roleTargets)}, nil} {
			n := m.clone()
			n.files[metaName("app-app", 3)] = sign(t, app, keys...)
			r.forge(n, "app-app")
			c.clone().refuses(n, "app@3", RuleSignature)
		}
	})
	c.gets(r.Files(), "app:stable", "2")
}

func TestRollback(t *testing.T) {
	r, c := seen(t)
	old := r.copy()
	r.publish("app", "2", "stable")
	c.gets(r.Files(), "app:stable", "2")
	t.Run("the whole old repository", func(t *testing.T) { c.refuses(old, "app:stable", RuleRollback) })
	t.Run("an old snapshot under a new timestamp", func(t *testing.T) {
		m := r.copy()
		ts := parse[metadata.TimestampType](t, m.files[timestampName])
		ts.Signed.Version++
		ts.Signed.Meta["snapshot.json"] = describeMeta(2, m.files[metaName(roleSnapshot, 2)])
		m.files[timestampName] = sign(t, ts, r.key(roleTimestamp))
		c.clone().refuses(m, "app:stable", RuleRollback)
	})
	t.Run("an old role in a new snapshot", func(t *testing.T) {
		m := r.copy()
		delete(m.files, metaName("app-app", 2))
		r.forge(m, "app-app")
		c.clone().refuses(m, "app:stable", RuleRollback)
	})
	t.Run("a role that has gone from the snapshot", func(t *testing.T) {
		m := r.copy()
		ts := parse[metadata.TimestampType](t, m.files[timestampName])
		sn := parse[metadata.SnapshotType](t, m.files[metaName(roleSnapshot, 3)])
		delete(sn.Signed.Meta, "app-app.json")
		sn.Signed.Version++
		b := sign(t, sn, r.key(roleSnapshot))
		m.files[metaName(roleSnapshot, 4)] = b
		ts.Signed.Version++
		ts.Signed.Meta["snapshot.json"] = describeMeta(4, b)
		m.files[timestampName] = sign(t, ts, r.key(roleTimestamp))
		c.clone().refuses(m, "app:stable", RuleRollback)
	})
	c.gets(r.Files(), "app:stable", "2")
}

// A copy that is behind has nothing new: what is known counts on, and what it has not got yet is no refusal. Forged it is refused as ever.
func TestCopyIsBehind(t *testing.T) {
	r, c := seen(t)
	old := r.copy()
	r.publish("app", "2", "stable")
	r.publish("app", "3", "")
	c.gets(r.Files(), "app:stable", "2")
	behind := func(c *client, files Files, ref Ref) (*Found, error) {
		trust, err := NewTrust(t.Context(), TrustConfig{Files: files, Dir: c.dir, Root: c.root, Name: "copy", Copy: func() bool { return true }, Now: c.clock.now})
		if err == nil {
			err = trust.Refresh(t.Context())
		}
		if err != nil {
			return nil, err
		}
		return trust.Release(t.Context(), ref, Platforms(""))
	}
	if f, err := behind(c, old, Ref{App: "app", Channel: "stable"}); err != nil || f.Version != "2" {
		t.Errorf("the channel is %v (%v), want version 2, which is known", f, err)
	}
	if f, err := behind(c, old, Ref{App: "app", Version: "3"}); !errors.Is(err, ErrBehind) || errors.Is(err, ErrRefused) {
		t.Errorf("a version that the copy has not got: %v, %v, want that it is behind", f, err)
	}
	forged := old.clone()
	ts := parse[metadata.TimestampType](t, forged.files[timestampName])
	forged.files[timestampName] = sign(t, ts, r.key(roleSnapshot))
	_, err := behind(c.clone(), forged, Ref{App: "app", Channel: "stable"})
	wantRefusal(t, "a forged old timestamp", err, RuleSignature)
	late := c.clone()
	late.clock = &clock{c.clock.at.AddDate(0, 0, 15)}
	_, err = behind(late, old, Ref{App: "app", Channel: "stable"})
	wantRefusal(t, "for longer than the timestamp holds", err, RuleExpired)
	c.refuses(old, "app:stable", RuleRollback) // whoever is no copy
	c.gets(r.Files(), "app@3", "3")
}

// Who has stolen the online keys signs versions so high that nothing honest could follow. With new keys what he has signed counts for nothing, and
// machines that have seen it go on.
func TestFastForward(t *testing.T) {
	r, c := seen(t)
	m := r.copy()
	ts := parse[metadata.TimestampType](t, m.files[timestampName])
	sn := parse[metadata.SnapshotType](t, m.files[metaName(roleSnapshot, 2)])
	sn.Signed.Version = 1 << 50
	b := sign(t, sn, r.key(roleSnapshot))
	m.files[metaName(roleSnapshot, sn.Signed.Version)] = b
	ts.Signed.Version = 1 << 50
	ts.Signed.Meta["snapshot.json"] = describeMeta(sn.Signed.Version, b)
	m.files[timestampName] = sign(t, ts, r.key(roleTimestamp))
	c.gets(m, "app:stable", "1")
	r.publish("app", "2", "stable")
	c.refuses(r.Files(), "app:stable", RuleRollback)
	for _, role := range []string{roleTimestamp, roleSnapshot} {
		r.update(func(tx *Tx) error { _, _, err := tx.RotateKey(role, ""); return err })
	}
	c.gets(r.Files(), "app:stable", "2")
	c.refuses(m, "app:stable", RuleSignature)
}

func TestIndefiniteFreeze(t *testing.T) {
	r, c := seen(t)
	frozen := r.copy()
	c.clock.at = c.clock.at.Add(timestampLife - time.Hour)
	c.gets(frozen, "app:stable", "1")
	c.clock.at = c.clock.at.Add(2 * time.Hour)
	c.refuses(frozen, "app:stable", RuleExpired)
	// The origin goes on signing.
	r.update(nil)
	c.gets(r.Files(), "app:stable", "1")
	// A stolen timestamp key alone freezes for as long as the snapshot holds.
	m, c0 := r.copy(), c.clone()
	c.clock.at = c.clock.at.Add(snapshotLife + time.Hour)
	ts := parse[metadata.TimestampType](t, m.files[timestampName])
	ts.Signed.Version++
	ts.Signed.Expires = c.clock.at.AddDate(10, 0, 0)
	m.files[timestampName] = sign(t, ts, r.key(roleTimestamp))
	c0.refuses(m, "app:stable", RuleExpired)
	// And all online keys for as long as the app's role does.
	r.update(nil)
	c.gets(r.Files(), "app:stable", "1")
	c.clock.at = c.clock.at.Add(offlineLife)
	r.update(nil)
	c.refuses(r.Files(), "app:stable", RuleExpired)
	// A root that has expired, with nothing new to ask for.
	m = r.copy()
	c0.refuses(m, "app:stable", RuleExpired)
	c0.refuses(m, "app:stable", RuleExpired)
}

func TestEndlessData(t *testing.T) {
	t.Parallel()
	r, _ := seen(t)
	r.publish("app", "2", "stable")
	for path := range r.copy().files {
		if !strings.HasPrefix(path, "metadata/") && !strings.HasPrefix(path, "targets/") && !strings.HasPrefix(path, "log/") {
			continue
		}
		m := r.copy()
		m.files[path] = append(bytes.Clone(m.files[path]), make([]byte, 32<<20)...)
		c := r.client()
		_, _, err := c.get(m, "app:stable")
		asked := strings.Join(m.asked, " ")
		if !strings.Contains(asked, path) {
			continue // it is of no concern to this client
		}
		wantRefusal(t, path, err, RuleEndless)
	}
}

func TestMixAndMatch(t *testing.T) {
	r, c := seen(t)
	old := r.copy()
	r.publish("app", "2", "stable")
	m := r.copy()
	m.files[metaName("app-app", 2)] = old.files[metaName("app-app", 1)]
	c.clone().refuses(m, "app:stable", RuleTampered)
	m = r.copy()
	m.files[metaName(roleSnapshot, 3)] = old.files[metaName(roleSnapshot, 2)]
	c.clone().refuses(m, "app:stable", RuleTampered)
}

func TestWrongSoftware(t *testing.T) {
	r, c := seen(t)
	r.publish("other", "9", "stable")
	// The publisher of other signs releases and channels of app.
	r.update(func(tx *Tx) error {
		rel := content("app", "9", AnyPlatform)
		b, err := rel.encode()
		if err != nil {
			return err
		}
		if err := tx.document("other", releasePath("app", "9", AnyPlatform), b); err != nil {
			return err
		}
		ch := &Channel{Format: 1, App: "app", Channel: "stable", Version: "9", At: tx.now}
		if b, err = ch.encode(); err != nil {
			return err
		}
		return tx.document("other", channelPath("app", "stable"), b)
	})
	c.refuses(r.Files(), "app@9", RuleUnknown)
	c.gets(r.Files(), "app:stable", "1")
	// A document that is signed for something else than where it lies.
	r.update(func(tx *Tx) error {
		b, err := (&Release{Format: 1, App: "app", Version: "1", Platform: AnyPlatform, Artefacts: content("app", "1", AnyPlatform).Artefacts}).encode()
		if err != nil {
			return err
		}
		return tx.document("app", releasePath("app", "8", AnyPlatform), b)
	})
	c.refuses(r.Files(), "app@8", RuleMismatch)
	r.update(func(tx *Tx) error {
		b, err := (&Channel{Format: 1, App: "app", Channel: "stable", Version: "1", At: tx.now}).encode()
		if err != nil {
			return err
		}
		return tx.document("app", channelPath("app", "beta"), b)
	})
	c.refuses(r.Files(), "app:beta", RuleMismatch)
}

func TestKeyCompromiseBelowThreshold(t *testing.T) {
	r := newRepo(t, InitConfig{RootKeys: 3, RootThreshold: 2})
	r.publish("app", "1", "stable")
	r.update(func(tx *Tx) error {
		if _, err := tx.AddKey("app"); err != nil {
			return err
		}
		return tx.SetThreshold("app", 2)
	})
	c := r.client()
	c.gets(r.Files(), "app:stable", "1")
	r.publish("app", "2", "stable")
	c.gets(r.Files(), "app:stable", "2")
	t.Run("of an app", func(t *testing.T) {
		m := r.copy()
		version := int64(10)
		for m.files[metaName("app-app", version)] == nil {
			version--
		}
		app := parse[metadata.TargetsType](t, m.files[metaName("app-app", version)])
		app.Signed.Version++
		k := r.key("app-app")
		b := sign(t, app, k)
		// The same signature twice, under another key's id, is still one.
		for _, forged := range [][]byte{b, bytes.Replace(b, []byte(`"signatures":[`), fmt.Appendf(nil, `"signatures":[{"keyid":%q,"sig":"%x"},`, strings.Repeat("ab", 32), k.sign(nil)), 1)} {
			n := m.clone()
			n.files[metaName("app-app", version+1)] = forged
			r.forge(n, "app-app")
			c.clone().refuses(n, "app:stable", RuleSignature)
		}
	})
	t.Run("of the root", func(t *testing.T) {
		m := r.copy()
		root := parse[metadata.RootType](t, m.files[metaName(roleRoot, 1)])
		mallory, err := newKey(roleRoot)
		if err != nil {
			t.Fatal(err)
		}
		root.Signed.Version = 2
		root.Signed.Keys[mallory.ID] = tufKey(mallory.Public)
		for _, role := range root.Signed.Roles {
			role.KeyIDs, role.Threshold = []string{mallory.ID}, 1
		}
		m.files[metaName(roleRoot, 2)] = sign(t, root, mallory, r.key(roleRoot))
		c.clone().refuses(m, "app:stable", RuleSignature)
	})
	c.gets(r.Files(), "app:stable", "2")
}

func TestMaliciousMirror(t *testing.T) {
	r, _ := seen(t)
	r.publish("app", "2", "stable")
	for path := range r.copy().files {
		m := r.copy()
		delete(m.files, path)
		c := r.client()
		f, _, err := c.get(m, "app:stable")
		if err == nil {
			if f.Version != "2" {
				t.Errorf("without %s: version %s", path, f.Version)
			}
			continue
		}
		rule := RuleIncomplete
		if strings.HasPrefix(path, "log/") {
			rule = RuleNotLogged
		}
		wantRefusal(t, "without "+path, err, rule)
	}
}

func TestUnpinned(t *testing.T) {
	r, _ := seen(t)
	_, err := NewTrust(t.Context(), TrustConfig{Files: r.Files(), Dir: t.TempDir(), Name: "here"})
	wantRefusal(t, "nothing pinned", err, RuleUnpinned)
	dir := t.TempDir()
	trust, err := NewTrust(t.Context(), TrustConfig{Files: r.Files(), Dir: dir, Name: "here", FirstUse: true, Now: r.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	if !trust.FirstUse() || trust.Fingerprint() != Fingerprint(r.root()) {
		t.Errorf("first use %v, fingerprint %s", trust.FirstUse(), trust.Fingerprint())
	}
	if err := trust.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	// From then on it is pinned: another repository at the same address is none of its.
	other := newRepo(t, InitConfig{})
	other.publish("app", "6", "stable")
	trust, err = NewTrust(t.Context(), TrustConfig{Files: other.Files(), Dir: dir, Name: "here", FirstUse: true, Now: r.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, "another repository at a known address", trust.Refresh(t.Context()), RuleOtherRoot)
	// A root that claims to be of the repository that is pinned.
	forged := parse[metadata.RootType](t, other.root())
	(&extra{Repository: r.ID(), Log: []string{logVerifierKey(r.ID(), other.key(roleLog))}, Item: []string{strings.Repeat("ab", 32)}}).put(forged)
	_, err = NewTrust(t.Context(), TrustConfig{Files: other.Files(), Dir: dir, Root: sign(t, forged, other.key(roleRoot)), Now: r.clock.now})
	wantRefusal(t, "another root of the same id", err, RuleOtherRoot)
}

// twin is a copy of a repository with all its keys: its publisher has two faces, or a thief.
func (r *testRepo) twin() *testRepo {
	r.t.Helper()
	dir := filepath.Join(r.t.TempDir(), "twin")
	if err := os.CopyFS(dir, os.DirFS(r.Dir())); err != nil {
		r.t.Fatal(err)
	}
	twin, err := Open(dir, Config{Now: r.clock.now})
	if err != nil {
		r.t.Fatal(err)
	}
	return &testRepo{twin, r.t, r.clock}
}

func TestForkedLog(t *testing.T) {
	r, c := seen(t)
	twin := r.twin()
	r.publish("app", "2", "stable")
	c.gets(r.Files(), "app:stable", "2")
	// The other history is longer, so that no version number tells.
	twin.publish("app", "666", "stable")
	twin.publish("app", "667", "stable")
	refusal := c.refuses(twin.Files(), "app:stable", RuleFork)
	evidence, err := filepath.Glob(filepath.Join(c.dir, "*", "fork-*.txt"))
	if err != nil || len(evidence) != 1 {
		t.Fatalf("evidence in %q (%v), want one file", evidence, err)
	}
	if !strings.Contains(refusal.Hint, evidence[0]) {
		t.Errorf("hint %q does not name the evidence %s", refusal.Hint, evidence[0])
	}
	b, err := os.ReadFile(evidence[0])
	if err != nil || strings.Count(string(b), logOrigin(r.ID())+"\n") != 2 {
		t.Errorf("the evidence does not have both checkpoints: %s (%v)", b, err)
	}
	c.refuses(twin.Files(), "app:stable", RuleFork) // and again
}

// A view that was split is noticed from a peer's checkpoint of the same size or smaller.
func TestWitness(t *testing.T) {
	r, _ := seen(t)
	twin := r.twin()
	r.publish("app", "2", "stable")
	twin.publish("app", "666", "stable")
	mine := r.client()
	trust, err := mine.trust(r.Files())
	if err != nil {
		t.Fatal(err)
	}
	other, err := twin.client().trust(twin.Files())
	if err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, "another history of the same size", trust.Witness(t.Context(), other.Checkpoint().Note), RuleFork)
	if err := trust.Witness(t.Context(), trust.Checkpoint().Note); err != nil {
		t.Errorf("its own checkpoint: %v", err)
	}
	if err := trust.Witness(t.Context(), []byte("rubbish")); err != nil {
		t.Errorf("rubbish from a peer: %v", err)
	}
	// The origin itself notices, too.
	dir := t.TempDir()
	refusal := wantRefusal(t, "another history at the origin", r.Witness(t.Context(), other.Checkpoint().Note, dir), RuleFork)
	if evidence := filepath.Join(dir, r.ID(), "fork-2-2.txt"); !strings.Contains(refusal.Hint, evidence) {
		t.Errorf("hint %q does not name %s", refusal.Hint, evidence)
	} else if _, err := os.Stat(evidence); err != nil {
		t.Error(err)
	}
	for what, note := range map[string][]byte{"its own": trust.Checkpoint().Note, "rubbish": []byte("rubbish")} {
		if err := r.Witness(t.Context(), note, dir); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	r.publish("app", "3", "stable")
	if err := mine.ahead(r, trust); err != nil {
		t.Errorf("a checkpoint that is ahead: %v", err)
	}
	if trust, err = mine.trust(r.Files()); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, "another history of a smaller size", trust.Witness(t.Context(), other.Checkpoint().Note), RuleFork)
}

// ahead has trust told of the repository's checkpoint of now.
func (c *client) ahead(r *testRepo, trust *Trust) error {
	return trust.Witness(c.t.Context(), r.copy().files["log/checkpoint"])
}

func TestShrunkLog(t *testing.T) {
	r, c := seen(t)
	twin := r.twin()
	r.publish("app", "2", "stable")
	c.gets(r.Files(), "app:stable", "2")
	twin.update(func(tx *Tx) error { _, err := tx.Promote("app", "1", "beta"); return err })
	twin.update(func(tx *Tx) error { _, err := tx.Promote("app", "1", "gamma"); return err })
	c.refuses(twin.Files(), "app:stable", RuleFork)
}

// All keys but the will to be seen: a release that is signed and not logged.
func TestUnloggedRelease(t *testing.T) {
	r, c := seen(t)
	m := r.copy()
	twin := r.twin()
	twin.publish("app", "2", "stable")
	n := twin.copy()
	for path, b := range m.files {
		if strings.HasPrefix(path, "log/") {
			n.files[path] = b
		}
	}
	c.clone().refuses(n, "app:stable", RuleNotLogged)
	// A hint to another entry does not help.
	h := LogEntry{"app", "2", AnyPlatform, ""}
	for path := range n.files {
		if strings.HasPrefix(path, "targets/releases/app/2/") {
			h.Document = strings.SplitN(path[strings.LastIndexByte(path, '/')+1:], ".", 2)[0]
		}
	}
	leaf := h.hash()
	for _, at := range []string{"0", "1", "-1", "99999999999999999999", "x"} {
		n.files[indexPath(leaf)] = fmt.Appendf(nil, "%x %s\n", leaf[:], at)
		c.clone().refuses(n, "app:stable", RuleNotLogged)
	}
}

// A checkpoint that no log key has signed.
func TestCheckpointOfOthers(t *testing.T) {
	r, _ := seen(t)
	other := newRepo(t, InitConfig{})
	other.publish("app", "1", "stable")
	m := r.copy()
	m.files["log/checkpoint"] = other.copy().files["log/checkpoint"]
	r.client().refuses(m, "app:stable", RuleSignature)
	// Nor one that the log key has signed as another log's.
	k := r.key(roleLog)
	b, err := encodeCheckpoint(logOrigin(strings.Repeat("0", 32)), (&Checkpoint{Size: 1}).tree(), k)
	if err != nil {
		t.Fatal(err)
	}
	m.files["log/checkpoint"] = b
	r.client().refuses(m, "app:stable", RuleSignature)
}

// TestFlippedByte flips every byte of every file of a small repository, one in seven unless SHOAL_REQUIRE=interop: a new client and one that has seen version 1
// refuse it, or get exactly what was published.
func TestFlippedByte(t *testing.T) {
	t.Parallel()
	r, old := seen(t)
	r.publish("app", "2", "stable")
	good := r.copy()
	positions, refusals, stride := 0, map[Rule]int{}, 7
	if strings.Contains(os.Getenv("SHOAL_REQUIRE"), "interop") {
		stride = 1
	}
	asked := good.clone()
	(&client{t, "", old.root, r.clock}).gets(asked, "app:stable", "2")
	for path, b := range good.files {
		if !slices.Contains(asked.asked, path) {
			continue // older versions, which nobody reads
		}
		for at := 0; at < len(b); at += stride {
			positions++
			flipped := bytes.Clone(b)
			flipped[at] ^= 1 << (at % 8)
			m := good.clone()
			m.files[path] = flipped
			clients := []*client{{t, "", old.root, r.clock}} // keeps nothing
			if at%8 == 0 {                                   // one that has seen version 1 asks the disk as well: an eighth will do
				clients = append(clients, old.clone())
			}
			for _, c := range clients {
				f, metainfo, err := c.get(m, "app:stable")
				if err != nil {
					var refusal *Refusal
					if !errors.As(err, &refusal) {
						t.Fatalf("%s with byte %d flipped: %v, want a refusal or success", path, at, err)
					}
					refusals[refusal.Rule]++
					continue
				}
				if want := content("app", "2", AnyPlatform); f.Version != "2" || *f.Tree() != *want.Tree() || string(metainfo) != string(metainfoOf(want)) {
					t.Fatalf("%s with byte %d flipped gives %+v", path, at, f)
				}
			}
		}
	}
	t.Logf("%d bytes flipped; refused: %v", positions, refusals)
	if refusals[RuleSignature] == 0 || refusals[RuleTampered] == 0 {
		t.Errorf("refused %v: want signature and tampered among the reasons", refusals)
	}
}

// What go-tuf takes for granted, and a thief of keys could leave out.
func TestMissingParts(t *testing.T) {
	r, c := seen(t)
	r.publish("app", "2", "stable")
	good := r.copy()
	edit := func(path string, k *Key, change func(signed map[string]any)) *memory {
		t.Helper()
		m := good.clone()
		var doc struct {
			Signed     map[string]any `json:"signed"`
			Signatures []any          `json:"signatures"`
		}
		if err := json.Unmarshal(m.files[path], &doc); err != nil {
			t.Fatal(err)
		}
		change(doc.Signed)
		b, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		m.files[path] = b
		return m
	}
	for name, change := range map[string]func(map[string]any){
		"meta of null":     func(s map[string]any) { s["meta"] = map[string]any{"snapshot.json": nil} },
		"no snapshot":      func(s map[string]any) { s["meta"] = map[string]any{} },
		"version 0":        func(s map[string]any) { s["version"] = 0 },
		"no type":          func(s map[string]any) { delete(s, "_type") },
		"a type of others": func(s map[string]any) { s["_type"] = "root" },
	} {
		if _, _, err := c.get(edit(timestampName, nil, change), "app:stable"); !as[*Refusal](err) {
			t.Errorf("timestamp with %s: %v, want a refusal", name, err)
		}
	}
	for name, change := range map[string]func(map[string]any){
		"a key of null": func(s map[string]any) { s["keys"] = map[string]any{"x": nil} },
		"a short key": func(s map[string]any) {
			s["keys"] = map[string]any{"x": map[string]any{"keytype": "ed25519", "scheme": "ed25519", "keyval": map[string]any{"public": "00"}}}
		},
		"a role of null":   func(s map[string]any) { s["roles"].(map[string]any)["timestamp"] = nil },
		"no roles":         func(s map[string]any) { s["roles"] = nil },
		"no words of ours": func(s map[string]any) { delete(s, extraField) },
	} {
		m := edit(metaName(roleRoot, 1), nil, change)
		if _, err := NewTrust(t.Context(), TrustConfig{Files: m, Name: "x", FirstUse: true}); !as[*Refusal](err) {
			t.Errorf("root with %s: %v, want a refusal", name, err)
		}
	}
}
