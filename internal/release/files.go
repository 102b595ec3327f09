package release

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// What a Files answers besides bytes. Other errors are about the way there, not about the repository.
var (
	ErrAbsent    = errors.New("not there")
	ErrUnchanged = errors.New("unchanged")
)

// Files is where a repository's public files come from, by their path with slashes, such as metadata/timestamp.json.
type Files interface {
	// Get returns a file and a tag for its state, or ErrAbsent, or ErrUnchanged if tag is not empty and still that of the file. A file of more than limit
	// bytes is a *Refusal by RuleEndless. Implementations are safe for concurrent use.
	Get(ctx context.Context, path string, limit int64, tag string) (data []byte, newTag string, err error)
}

func readFile(ctx context.Context, f Files, path string, limit int64) ([]byte, error) {
	b, _, err := f.Get(ctx, path, limit, "")
	return b, err
}

// ReadLimited reads all of r, at most limit bytes; more is a refusal. For implementations of Files.
func ReadLimited(r io.Reader, limit int64, path string) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, refuse(RuleEndless, "%s is longer than the %d bytes it can have", path, limit)
	}
	return b, nil
}

// Dir is a repository's public directory on this machine. It has no tags.
type Dir string

// Get implements Files.
func (d Dir) Get(ctx context.Context, path string, limit int64, _ string) ([]byte, string, error) {
	if err := ctx.Err(); err != nil {
		return nil, "", err
	}
	if !fs.ValidPath(path) {
		return nil, "", fmt.Errorf("%q is not a path in a repository", path)
	}
	root, err := os.OpenRoot(string(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", ErrAbsent
	}
	if err != nil {
		return nil, "", err
	}
	defer root.Close()
	f, err := root.Open(filepath.FromSlash(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", ErrAbsent
	}
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	b, err := ReadLimited(f, limit, path)
	return b, "", err
}
