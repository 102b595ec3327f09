package cli

import (
	"cmp"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// makeDemoContent copies the directory that shoal was started in, without what is hidden or built,
// as far as it is small, and fills up with random bytes.
func makeDemoContent(ctx context.Context, dir string) (string, error) {
	root := filepath.Join(dir, "shoal-demo")
	if err := os.Mkdir(root, 0o755); err != nil {
		return "", err
	}
	left := int64(demoBytes)
	const largest = 1 << 20
	err := filepath.WalkDir(".", func(path string, entry os.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil {
			return cmp.Or(ctx.Err(), err)
		}
		if path != "." && strings.HasPrefix(entry.Name(), ".") {
			if entry.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		to := filepath.Join(root, path)
		if entry.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() || info.Size() > largest || info.Size() > left/2 {
			return nil // vanished, special, or not worth it
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil // unreadable files are not what this is about
		}
		left -= int64(len(b))
		return os.WriteFile(to, b, info.Mode().Perm()|0o600)
	})
	if err != nil {
		return "", err
	}
	f, err := os.Create(filepath.Join(root, "generated.bin"))
	if err != nil {
		return "", err
	}
	r := rand.NewChaCha8([32]byte{1})
	if _, err := io.CopyN(f, r, left); err != nil {
		f.Close()
		return "", err
	}
	return root, f.Close()
}

func sizeOf(path string) (n int64) {
	filepath.WalkDir(path, func(_ string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			if info, err := entry.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}
