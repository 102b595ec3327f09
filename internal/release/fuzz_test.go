package release

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// A document that is read is one that would be written, and says the same when it is read again.
func FuzzRelease(f *testing.F) {
	rel := content("app", "1.0", AnyPlatform)
	rel.Notes = "notes"
	good, err := rel.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"format":1,"artefacts":[{"kind":"T"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRelease(b)
		if err != nil {
			return
		}
		if r.Tree() == nil || !ValidApp(r.App) || strings.ContainsAny(r.Tree().Name, "/\\") {
			t.Fatalf("read %+v", r)
		}
		again, err := r.encode()
		if err != nil {
			if len(b) < maxDocument/8 { // escaping may make a long one too long
				t.Fatalf("%q is read and cannot be written: %v", b, err)
			}
			return
		}
		if second, err := parseRelease(again); err != nil || *second.Tree() != *r.Tree() {
			t.Fatalf("%q becomes %q: %v", b, again, err)
		}
	})
}

func FuzzChannel(f *testing.F) {
	good, err := (&Channel{Format: 1, App: "app", Channel: "stable", Version: "2", Previous: []string{"1"}}).encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseChannel(b)
		if err != nil {
			return
		}
		again, err := c.encode()
		if err != nil {
			return // a year beyond 9999 can be read from JSON and not be written
		}
		second, err := parseChannel(again)
		if err != nil || second.Version != c.Version || !slices.Equal(second.Previous, c.Previous) {
			t.Fatalf("%q becomes %q: %v", b, again, err)
		}
	})
}

// Whatever is signed by whomever: it is read or refused, and checking signatures of what was read does not panic.
func FuzzMetadata(f *testing.F) {
	r := newRepo(f, InitConfig{})
	r.publish("app", "1", "stable")
	for path, b := range r.copy().files {
		if strings.HasPrefix(path, "metadata/") {
			f.Add(b)
		}
	}
	root := parse[metadata.RootType](f, r.root())
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := parseMeta[metadata.RootType](b, maxRoot); err == nil {
			_ = m.VerifyDelegate(roleRoot, m)
			_ = root.VerifyDelegate(roleRoot, m)
			if _, err := extraOf(m); err == nil && m.Signed.Version < 1 {
				t.Fatalf("root of version %d", m.Signed.Version)
			}
		}
		if m, err := parseMeta[metadata.TargetsType](b, maxTargets); err == nil {
			_ = root.VerifyDelegate(roleTargets, m)
			if d := m.Signed.Delegations; d != nil {
				for _, role := range d.Roles {
					_ = m.VerifyDelegate(role.Name, m)
				}
				if d.SuccinctRoles != nil {
					_ = m.VerifyDelegate(d.SuccinctRoles.GetRolesForTarget("x")[0].Name, m)
				}
			}
		}
		if m, err := parseMeta[metadata.SnapshotType](b, maxSnapshot); err == nil {
			_ = root.VerifyDelegate(roleSnapshot, m)
		}
		if m, err := parseMeta[metadata.TimestampType](b, maxTimestamp); err == nil && m.Signed.Meta["snapshot.json"] == nil {
			t.Fatal("a timestamp without a snapshot was read")
		}
	})
}

// A client gets what was published, or refuses, whatever one of the files has become.
func FuzzRefresh(f *testing.F) {
	r := newRepo(f, InitConfig{})
	r.publish("app", "1", "stable")
	r.publish("app", "2", "stable")
	good := r.copy()
	asked := good.clone()
	c := &client{f, "", r.root(), r.clock}
	c.gets(asked, "app:stable", "2")
	paths := slices.Clone(asked.asked)
	slices.Sort(paths)
	paths = slices.Compact(paths)
	for i, path := range paths {
		f.Add(uint8(i), good.files[path])
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		m := good.clone()
		m.files[paths[int(which)%len(paths)]] = b
		c := &client{t, "", c.root, r.clock}
		found, metainfo, err := c.get(m, "app:stable")
		if err != nil {
			if !errors.Is(err, ErrRefused) {
				t.Fatalf("%v, want a refusal", err)
			}
			return
		}
		if want := content("app", "2", AnyPlatform); found.Version != "2" || !bytes.Equal(metainfo, metainfoOf(want)) {
			t.Fatalf("got %+v", found)
		}
	})
}

func FuzzCheckpoint(f *testing.F) {
	r := newRepo(f, InitConfig{})
	good := r.copy().files["log/checkpoint"]
	x, err := extraOf(parse[metadata.RootType](f, r.root()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := openCheckpoint(b, x)
		if err != nil {
			return
		}
		// Only the log's key makes checkpoints; other signatures beside it change nothing.
		want, err := openCheckpoint(good, x)
		if err != nil || c.Size != want.Size || c.Hash != want.Hash {
			t.Fatalf("%q is taken for a checkpoint of %v", b, c)
		}
	})
}

func FuzzEntryBundle(f *testing.F) {
	f.Add(appendEntry(appendEntry(nil, LogEntry{"app", "1", "any", strings.Repeat("0", 64)}), LogEntry{"b", "2", "linux-amd64", strings.Repeat("a", 64)}), 2)
	f.Add(binary.BigEndian.AppendUint16(nil, 65535), 1)
	f.Fuzz(func(t *testing.T, b []byte, count int) {
		n := count & (2*tileWidth - 1)
		entries, err := parseBundle(b, n)
		if err != nil {
			return
		}
		var again []byte
		for _, e := range entries {
			again = appendEntry(again, e)
		}
		if len(entries) != n || !bytes.Equal(again, b) {
			t.Fatalf("%q becomes %q", b, again)
		}
	})
}

// What a bundle offers lies within its file.
func FuzzBundle(f *testing.F) {
	var good bytes.Buffer
	w, err := NewBundle(&good, strings.Repeat("ab", 16), Ref{App: "app", Version: "1"}, map[string][]byte{"metadata/timestamp.json": []byte("{}"), "log/checkpoint": make([]byte, 700)})
	if err != nil {
		f.Fatal(err)
	}
	if err := errors.Join(w.Add("content/x", 3, strings.NewReader("abc")), w.Close()); err != nil {
		f.Fatal(err)
	}
	if !IsBundle(good.Bytes()) {
		f.Fatal("our own bundle is not known as one")
	}
	f.Add(good.Bytes())
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(dir, "bundle")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		bundle, err := OpenBundle(path)
		if err != nil {
			if !errors.Is(err, ErrRefused) {
				t.Fatalf("%v, want a refusal", err)
			}
			return
		}
		defer bundle.Close()
		for name := range bundle.index {
			s, err := bundle.Open(name)
			if err != nil || s.Size() > int64(len(b)) {
				t.Fatalf("%s has %d bytes in a bundle of %d (%v)", name, s.Size(), len(b), err)
			}
			if data, _, err := bundle.Get(t.Context(), name, s.Size(), ""); err != nil || !bytes.Contains(b, data) {
				t.Fatalf("%s is not in the bundle: %v", name, err)
			}
		}
	})
}

func FuzzKeyFile(f *testing.F) {
	k, err := newKey(roleRoot)
	if err != nil {
		f.Fatal(err)
	}
	dir := f.TempDir()
	if err := k.write(dir); err != nil {
		f.Fatal(err)
	}
	b, err := os.ReadFile(k.Path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := parseKey(b, "key")
		if err != nil || k.Sealed() {
			return
		}
		if id, err := keyID(k.private().Public().(ed25519.PublicKey)); err != nil || id != k.ID {
			t.Fatalf("key %s has id %s", id, k.ID)
		}
	})
}
