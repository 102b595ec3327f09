package seeder

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"shoal/internal/deliver"
	"shoal/internal/disk"
	"shoal/internal/release"
	"shoal/piece"
)

// PushResult is what a push has done, or why it has not.
type PushResult struct {
	Rule    string   `json:"rule,omitempty"`
	Message string   `json:"message,omitempty"`
	Signed  []string `json:"signed,omitempty"`
	Logged  []string `json:"logged,omitempty"`
}

func (p *Pushes) commit(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, result PushResult) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		if err := json.NewEncoder(w).Encode(result); err != nil {
			p.Log.Debug("push", "err", err)
		}
	}
	var roles []release.PushedRole
	if err := json.NewDecoder(io.LimitReader(r.Body, maxPushRoles<<10)).Decode(&roles); err != nil || len(roles) > maxPushRoles {
		answer(http.StatusBadRequest, PushResult{Message: "not a list of roles"})
		return
	}
	done, err := p.accept(r.Context(), roles)
	answerSoon(w)
	var refusal *release.Refusal
	var missing *release.KeysMissingError
	switch {
	case errors.As(err, &missing):
		answer(http.StatusUnprocessableEntity, PushResult{Rule: "keys-missing", Message: fmt.Sprintf("a key of %s is not there: bring it to keys/online of the origin's repository first", missing.Role)})
	case err == nil:
		result := PushResult{Signed: done.Signed}
		for _, e := range done.Logged {
			result.Logged = append(result.Logged, e.String())
		}
		p.Log.Info("pushed", "roles", done.Signed)
		answer(http.StatusOK, result)
	case errors.Is(err, release.ErrConflict):
		answer(http.StatusConflict, PushResult{Rule: "conflict", Message: err.Error()})
	case errors.As(err, &refusal):
		answer(http.StatusUnprocessableEntity, PushResult{Rule: string(refusal.Rule), Message: refusal.Message})
	case errors.Is(err, piece.ErrCorrupt), errors.Is(err, release.ErrPublished), errors.Is(err, release.ErrAbsent), errors.Is(err, fs.ErrNotExist):
		answer(http.StatusUnprocessableEntity, PushResult{Rule: "incomplete", Message: err.Error()})
	default:
		p.Log.Error("push", "err", err)
		answer(http.StatusInternalServerError, PushResult{Message: "it could not be taken over: see the log there"})
	}
}

// damaged says whether a public file that has its hash in its name is another than that: it is brought anew.
func (p *Pushes) damaged(path string) bool {
	if !strings.HasPrefix(path, "targets/") {
		return false
	}
	b, _, err := release.Dir(p.Repository.Public()).Get(context.Background(), path, release.MaxMetainfo, "")
	return err != nil || !isOf(path, b)
}

// isOf says whether bytes are those that the name of a target's file has the hash of.
func isOf(path string, b []byte) bool {
	hash, _, _ := strings.Cut(path[strings.LastIndexByte(path, '/')+1:], ".")
	return fmt.Sprintf("%x", sha256.Sum256(b)) == hash
}

// brought are the files of a push: those in incoming, and documents that are public already, as that of a channel which is set back within the second is. These are
// not sent.
type brought struct{ incoming, public release.Dir }

// Get implements release.Files.
func (f brought) Get(ctx context.Context, path string, limit int64, tag string) ([]byte, string, error) {
	if strings.HasPrefix(path, "targets/") {
		if b, tag, err := f.public.Get(ctx, path, limit, tag); err == nil && isOf(path, b) {
			return b, tag, nil
		}
	}
	return f.incoming.Get(ctx, path, limit, tag)
}

// accept checks everything and has it take effect.
func (p *Pushes) accept(ctx context.Context, roles []release.PushedRole) (*release.Done, error) {
	done, err := p.Repository.Update(ctx, func(tx *release.Tx) error {
		accepted, err := tx.Accept(brought{release.Dir(p.incoming()), release.Dir(p.Repository.Public())}, roles)
		if err != nil {
			return err
		}
		for _, a := range accepted {
			if err := p.content(ctx, a); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return done, p.sweep()
}

// sweep removes from incoming what is public now. What belongs to another push stays.
func (p *Pushes) sweep() error {
	return filepath.WalkDir(p.incoming(), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && d.IsDir() {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(p.incoming(), path)
		if err != nil {
			return err
		}
		if _, err := os.Lstat(filepath.Join(p.Repository.Public(), rel)); err != nil {
			return nil
		}
		return os.Remove(path)
	})
}

// content verifies a content of a release and makes it public.
func (p *Pushes) content(ctx context.Context, a *release.Accepted) error {
	t, err := deliver.UnpackMetainfo(a.Packed, &a.Artefact)
	if err != nil {
		return err
	}
	v2 := a.Artefact.V2
	public := p.Repository.ContentDir(v2)
	if _, err := os.Lstat(public); err == nil {
		return nil // it was verified when it came here
	}
	came := filepath.Join(p.incoming(), "content", v2)
	if err := removeOthers(t, came); err != nil {
		return err
	}
	if err := completeTree(t, came); err != nil {
		return err
	}
	report, err := piece.Verify(ctx, t.Info, filepath.Join(came, t.Name), piece.VerifyConfig{})
	if err != nil {
		return err
	}
	if !report.OK() {
		// What is wrong must be sent anew, and not be taken for what is there already.
		if err := os.RemoveAll(came); err != nil {
			return err
		}
		return fmt.Errorf("%s of %s for %s: %w", t.Name, a.Ref, a.Platform, piece.ErrCorrupt)
	}
	if err := os.MkdirAll(filepath.Dir(public), 0o755); err != nil {
		return err
	}
	if err := os.Rename(came, public); err != nil {
		return err
	}
	return disk.SyncDir(filepath.Dir(public))
}

// removeOthers removes files that are not the torrent's: whoever knows the token could have them published unsigned.
func removeOthers(t *piece.Torrent, dir string) error {
	names := map[string]bool{}
	for i := range t.Files {
		names[t.Files[i].Name(t.Info)] = true
	}
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && d.IsDir() {
			return nil
		}
		if err != nil {
			return err
		}
		if rel, err := filepath.Rel(dir, path); err != nil || names[filepath.ToSlash(rel)] {
			return err
		}
		return os.Remove(path)
	})
}

// completeTree adds what is not sent because the torrent tells all of it: empty files, symlinks, who may run what. Names are the torrent's, which were checked.
func completeTree(t *piece.Torrent, dir string) error {
	made := dir
	if t.Dir {
		made = filepath.Join(dir, t.Name)
	}
	if err := os.MkdirAll(made, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for i := range t.Files {
		f := &t.Files[i]
		name := filepath.FromSlash(f.Name(t.Info))
		if f.Symlink == nil && f.Length > 0 {
			if f.Executable {
				if err := root.Chmod(name, 0o755); err != nil {
					return err
				}
			}
			continue
		}
		if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if f.Symlink != nil {
			up := strings.Repeat("../", len(f.Path)-1)
			if err := root.Symlink(up+strings.Join(f.Symlink, "/"), name); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
			continue
		}
		mode := fs.FileMode(0o644)
		if f.Executable {
			mode = 0o755
		}
		if err := root.WriteFile(name, nil, mode); err != nil {
			return err
		}
	}
	return nil
}
