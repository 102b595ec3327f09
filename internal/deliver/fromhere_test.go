package deliver

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// What lies on this machine is used where a link leads to it, too; what is no file is passed over.
func TestFromHereFollowsLinks(t *testing.T) {
	want := bytes.Repeat([]byte("release 1\n"), 30000)
	for _, tt := range []struct {
		name string
		put  func(path, beside string) error
		ok   bool
	}{
		{"a file", func(path, _ string) error { return os.WriteFile(path, want, 0o644) }, true},
		{"a link to a file beside it", func(path, beside string) error {
			if err := os.WriteFile(beside, want, 0o644); err != nil {
				return err
			}
			return os.Symlink(filepath.Base(beside), path)
		}, true},
		{"a directory", func(path, _ string) error { return os.Mkdir(path, 0o755) }, false},
		{"nothing", func(_, _ string) error { return nil }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			source := filepath.Join(dir, "source")
			if err := os.WriteFile(source, want, 0o644); err != nil {
				t.Fatal(err)
			}
			x := describedAt(t, source, "app-1.0")
			if err := os.Remove(source); err != nil {
				t.Fatal(err)
			}
			at := filepath.Join(dir, "current")
			if err := tt.put(at, filepath.Join(dir, "app")); err != nil {
				t.Fatal(err)
			}
			to := t.TempDir()
			ok, err := FromHere(t.Context(), x.Info, to, []Lying{{x.Info, at}}, nil)
			if err != nil || ok != tt.ok {
				t.Fatalf("all of it is here: %v, want %v; %v", ok, tt.ok, err)
			}
			if got, err := os.ReadFile(filepath.Join(to, "app-1.0")); ok && (err != nil || !bytes.Equal(got, want)) {
				t.Errorf("%d bytes are in place, which are not what was wanted: %v", len(got), err)
			}
		})
	}
}
