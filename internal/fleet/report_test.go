package fleet

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func example() Report {
	return Report{
		Sequence: 7, After: "0123456789abcdef", At: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Every: 300, Machine: strings.Repeat("a1", 16), App: "myapp", Channel: "stable",
		Platform: "linux-amd64", Site: "here", Groups: []string{"canary"}, State: "staged", Version: "2", Running: "1", Previous: "1", Bytes: 10, From: From{Reuse: 7, Origin: 3}, Seconds: 1.5,
	}
}

// What is read is what would be written, and says the same when it is read again.
func FuzzReport(f *testing.F) {
	good, err := example().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"format":1,"machine":"","app":"../x","every_seconds":-1}`))
	f.Add([]byte(`{"format":1,"from":{"reuse":-1},"seconds":1e999}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseReport(b)
		if err != nil {
			return
		}
		if !ValidMachine(r.Machine) || r.App == "" || r.State == "" || r.Every < 1 || r.From.Sum() < 0 || len(r.Groups) > maxGroups {
			t.Fatalf("read %+v", r)
		}
		again, err := r.Encode()
		if err != nil {
			if len(b) < MaxMessage/8 { // escaping may make a long one too long
				t.Fatalf("%q is read and cannot be written: %v", b, err)
			}
			return
		}
		if r2, err := ParseReport(again); err != nil || r2.Machine != r.Machine || r2.Why != r.Why || r2.From != r.From {
			t.Fatalf("%+v became %+v (%v)", r, r2, err)
		}
	})
}

func TestLongTextsAreCut(t *testing.T) {
	r := example()
	r.Why, r.Site = strings.Repeat("ä", maxWhy), "bad \xff bytes"
	b, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseReport(b)
	if err != nil || got.Why != strings.Repeat("ä", maxWhy/2) || got.Site != "bad  bytes" {
		t.Errorf("%q, %q, %v", got.Why, got.Site, err)
	}
}

func TestKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	k, err := LoadKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	if same, err := LoadKey(dir); err != nil || same.ID() != k.ID() {
		t.Errorf("then it is another key, %v", err)
	}
	body := []byte("body")
	h := http.Header{}
	k.Sign(h, ForReport, body)
	if id, err := Signer(h, ForReport, body); err != nil || id != k.ID() {
		t.Errorf("%q, %v", id, err)
	}
	if id, err := Signer(http.Header{}, ForReport, body); id != "" || err != nil {
		t.Errorf("nobody: %q, %v", id, err)
	}
	for name, check := range map[string]func() error{
		"another purpose": func() error { _, err := Signer(h, ForEnrollment, body); return err },
		"another body":    func() error { _, err := Signer(h, ForReport, []byte("bodx")); return err },
		"another key": func() error {
			other := h.Clone()
			other.Set(KeyHeader, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
			_, err := Signer(other, ForReport, body)
			return err
		},
		"no signature": func() error {
			_, err := Signer(http.Header{KeyHeader: h[KeyHeader]}, ForReport, body)
			return err
		},
	} {
		if err := check(); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "node.key"), []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKey(dir); err == nil {
		t.Error("a file that is no key is one")
	}
}
