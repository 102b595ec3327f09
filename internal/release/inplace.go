package release

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"shoal/internal/disk"
)

// inPlaceName is the file that says where content lies that was not copied into the repository: {"V2":"/path", …}. It is not public: other machines cannot
// read there.
const inPlaceName = "inplace.json"

const maxInPlace = 16 << 20

// InPlace says where content lies that was not copied into the repository, by its v2 info hash in hex.
func (r *Repository) InPlace() (map[string]string, error) {
	path := filepath.Join(r.dir, inPlaceName)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := ReadLimited(f, maxInPlace, path)
	if err != nil {
		return nil, err
	}
	var m map[string]string
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// SetInPlace notes where a content lies, or with an empty path forgets it. It belongs into an Update, which holds the lock.
func (tx *Tx) SetInPlace(v2, path string) error {
	old, err := tx.r.InPlace()
	if err != nil {
		return err
	}
	m := maps.Clone(old)
	if m == nil {
		m = map[string]string{}
	}
	if path == "" {
		delete(m, v2)
	} else {
		m[v2] = path
	}
	b, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return err
	}
	return disk.WriteFile(filepath.Join(tx.r.dir, inPlaceName), append(b, '\n'), 0o644)
}

// ContentDir is where the content of a v2 info hash (in hex) lies in the repository, below which it has its name.
func (r *Repository) ContentDir(v2 string) string { return filepath.Join(r.Public(), "content", v2) }
