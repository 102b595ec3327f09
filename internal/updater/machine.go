package updater

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"shoal/internal/disk"
)

// MachineID is this machine's name among others: 32 hex digits, made by chance when it is first asked for and kept in the state directory, so that copies of a
// machine's image differ unless they were made later than that.
func MachineID(stateDir string) (string, error) {
	path := filepath.Join(stateDir, "machine-id")
	b, err := os.ReadFile(path)
	if err == nil {
		id := strings.TrimSpace(string(b))
		if raw, err := hex.DecodeString(id); err == nil && len(raw) == 16 {
			return id, nil
		}
		return "", errors.New(path + " is not a machine's id: remove it, and it is made anew")
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err := os.MkdirAll(stateDir, 0o755); err != nil {
		return "", err
	}
	var raw [16]byte
	rand.Read(raw[:])
	id := hex.EncodeToString(raw[:])
	return id, disk.WriteFile(path, []byte(id+"\n"), 0o644)
}
