package ipset

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSet(t *testing.T) {
	s, err := Parse(strings.NewReader(`
# offices
10.1.0.0/16
10.2.0.5            # one machine
10.3.0.1-10.3.0.9
10.3.0.10 - 10.3.0.20
::ffff:192.0.2.0/120
2001:db8::/32
2001:db9::5
255.255.255.255
`))
	if err != nil {
		t.Fatal(err)
	}
	if s.Len() != 7 {
		t.Errorf("%d ranges, want 7: those that touch are one", s.Len())
	}
	for a, want := range map[string]bool{
		"10.0.255.255": false, "10.1.0.0": true, "10.1.255.255": true, "10.2.0.0": false, "10.2.0.4": false, "10.2.0.5": true, "10.2.0.6": false,
		"10.3.0.0": false, "10.3.0.1": true, "10.3.0.10": true, "10.3.0.20": true, "10.3.0.21": false, "::ffff:10.1.2.3": true,
		"192.0.2.1": true, "192.0.3.1": false, "2001:db8:ffff::1": true, "2001:db7::1": false, "2001:db9::5": true, "2001:db9::6": false,
		"255.255.255.255": true, "0.0.0.0": false, "::": false, "::1": false, "fe80::1%eth0": false,
	} {
		if got := s.Contains(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s is in it: %v, want %v", a, got, want)
		}
	}
	if new(Set).Contains(netip.MustParseAddr("10.0.0.1")) {
		t.Error("an empty set has an address")
	}
}

func TestLinesThatMakeNoSense(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.1\nexample.org":          "2:",
		"10.0.0.0/33":                    "1:",
		"10.0.0.300":                     "1:",
		"10.0.0.9-10.0.0.1":              "ends before it begins",
		"10.0.0.1-2001:db8::1":           "ends before it begins",
		"fe80::1%eth0":                   "1:",
		"::ffff:0:0/90":                  "1:",
		strings.Repeat("x", 1<<17):       "too long",
		strings.Repeat("\n", MaxLines+1): "at most",
	} {
		if _, err := Parse(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30q: %v, want an error with %q", text, err, want)
		}
	}
}

// A filter keeps to its files as they change, and to what it read last when they are broken.
func TestFilterFollowsItsFiles(t *testing.T) {
	if f, err := LoadFilter("", ""); f != nil || err != nil || !f.Admits(netip.MustParseAddr("10.0.0.1")) {
		t.Errorf("no lists: %v, %v", f, err)
	}
	dir := t.TempDir()
	allow, block := filepath.Join(dir, "allow"), filepath.Join(dir, "block")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := LoadFilter(allow, ""); !os.IsNotExist(err) {
		t.Errorf("a list that is not there: %v", err)
	}
	write(allow, "10.0.0.0/8\n")
	write(block, "10.6.0.0/16\nbad\n")
	if _, err := LoadFilter(allow, block); err == nil || !strings.Contains(err.Error(), block+":2:") {
		t.Errorf("a list with a bad line: %v, want its place", err)
	}
	write(block, "10.6.0.0/16\n")
	f, err := LoadFilter(allow, block)
	if err != nil {
		t.Fatal(err)
	}
	check := func(a string, want bool) {
		t.Helper()
		if got := f.Admits(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s is admitted: %v, want %v", a, got, want)
		}
	}
	check("10.0.0.1", true)
	check("10.6.0.1", false)
	check("11.0.0.1", false)
	f.every = time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	logged := &syncBuffer{ch: make(chan string, 100)}
	go func() {
		defer close(done)
		f.Follow(ctx, slog.New(slog.NewTextHandler(logged, nil)))
	}()
	write(block, "10.0.0.1 # and no more\n")
	logged.until(t, "read again")
	check("10.0.0.1", false)
	check("10.6.0.1", true)
	write(block, "nonsense, of another length\n")
	logged.until(t, "kept as it was")
	check("10.0.0.1", false)
	write(allow, "")
	logged.until(t, "read again")
	check("10.6.0.1", false)
	cancel()
	<-done
}

type syncBuffer struct{ ch chan string }

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.ch <- string(p)
	return len(p), nil
}

func (b *syncBuffer) until(t *testing.T, what string) {
	t.Helper()
	for end := time.After(20 * time.Second); ; {
		select {
		case s := <-b.ch:
			if strings.Contains(s, what) {
				return
			}
		case <-end:
			t.Fatalf("the log never says %q", what)
		}
	}
}

// FuzzParse: what a list with one line more has, it has in any order with the rest, and the ranges
// of a set lie apart.
func FuzzParse(f *testing.F) {
	f.Add([]byte("10.0.0.0/8\n10.255.255.255-11.0.0.1\n# x\n2001:db8::/32\n"), []byte{10, 0, 0, 1})
	f.Add([]byte("::/0"), []byte{1, 2, 3, 4})
	f.Add([]byte("0.0.0.0/0\n::ffff:1.2.3.4"), []byte("0123456789abcdef"))
	f.Fuzz(func(t *testing.T, text, addr []byte) {
		s, err := Parse(bytes.NewReader(text))
		if err != nil {
			return
		}
		for i := 1; i < len(s.ranges); i++ {
			if a, b := s.ranges[i-1], s.ranges[i]; !a.last.Less(b.first) || a.last.Next() == b.first {
				t.Fatalf("%v and %v are not apart", a, b)
			}
		}
		a, ok := netip.AddrFromSlice(addr)
		if !ok {
			return
		}
		more, err := Parse(strings.NewReader(fmt.Sprintf("%s\n%s", a, text)))
		if err != nil {
			t.Fatal(err)
		}
		if !more.Contains(a) {
			t.Fatalf("%v is not in the set that it was put into", a)
		}
		linear := false
		for line := range strings.Lines(string(text)) {
			line, _, _ = strings.Cut(line, "#")
			if x, err := parseSpan(strings.TrimSpace(line)); err == nil {
				u := a.Unmap()
				linear = linear || u.BitLen() == x.first.BitLen() && u.Compare(x.first) >= 0 && u.Compare(x.last) <= 0
			}
		}
		if linear != s.Contains(a) {
			t.Fatalf("%v is in it: %v, one by one: %v", a, s.Contains(a), linear)
		}
	})
}
