package swarmtest

import (
	"bytes"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// File writes size bytes that look random, and are the same for the same size and name, and
// returns the path.
func File(t testing.TB, path string, size int) string {
	t.Helper()
	b := make([]byte, size)
	seed := [32]byte{byte(size), byte(size >> 8), byte(size >> 16)}
	copy(seed[3:], filepath.Base(path))
	rand.NewChaCha8(seed).Read(b)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// Tree makes a directory of about size bytes as releases are: nested, a program, an empty file,
// names that are not ASCII, small files that share pieces in v1. Returns the path.
func Tree(t testing.TB, path string, size int) string {
	t.Helper()
	File(t, filepath.Join(path, "bin", "tool"), size/2)
	File(t, filepath.Join(path, "data", "größe 1.bin"), size/3)
	File(t, filepath.Join(path, "data", "deep", "er", "日本.txt"), size/6)
	for _, name := range []string{"a", "b", "c"} {
		File(t, filepath.Join(path, "small", name), 1000+len(path)%7)
	}
	File(t, filepath.Join(path, "small", "empty"), 0)
	if err := os.Chmod(filepath.Join(path, "bin", "tool"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// Same compares a file or a tree with what it should be, byte by byte, and the exec bits where
// modes is true. Empty files may be missing where missingEmpty is: some clients do not make them.
func Same(t testing.TB, want, got string, also ...Lenience) {
	t.Helper()
	var lenient Lenience
	for _, l := range also {
		lenient |= l
	}
	if problem := compare(want, got, lenient); problem != "" {
		t.Fatalf("%s is not as %s: %s", got, want, problem)
	}
}

// Lenience is what a comparison overlooks, because clients of others do so.
type Lenience int

// What clients of others leave out or leave behind.
const (
	AnyMode  Lenience = 1 << iota // exec bits
	NoEmpty                       // empty files may be missing
	PadFiles                      // files of padding may lie below .pad
)

func compare(want, got string, lenient Lenience) (problem string) {
	seen := map[string]bool{}
	err := filepath.WalkDir(want, func(path string, d fs.DirEntry, err error) error {
		if err != nil || problem != "" {
			return err
		}
		rel, err := filepath.Rel(want, path)
		if err != nil {
			return err
		}
		seen[rel] = true
		info, err := d.Info()
		if err != nil || d.IsDir() {
			return err
		}
		other := filepath.Join(got, rel)
		there, err := os.Stat(other)
		if err != nil {
			if info.Size() > 0 || lenient&NoEmpty == 0 {
				problem = err.Error()
			}
			return nil
		}
		if lenient&AnyMode == 0 && runtime.GOOS != "windows" && (info.Mode()^there.Mode())&0o100 != 0 {
			problem = rel + " has mode " + there.Mode().String()
			return nil
		}
		a, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(other)
		if err != nil {
			return err
		}
		if !bytes.Equal(a, b) {
			problem = rel + " has other content"
		}
		return nil
	})
	if err != nil || problem != "" {
		return problem + errorText(err)
	}
	err = filepath.WalkDir(got, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(got, path)
		if err != nil {
			return err
		}
		if lenient&PadFiles != 0 && d.IsDir() && d.Name() == ".pad" {
			return filepath.SkipDir
		}
		if !seen[rel] {
			problem = rel + " should not be there"
		}
		return nil
	})
	return problem + errorText(err)
}

func errorText(err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}

// Compare does what Same does, and returns the first difference; "" if there is none.
func Compare(want, got string) string { return compare(want, got, 0) }
