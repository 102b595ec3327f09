package release

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"shoal/internal/disk"
)

// Witness holds a checkpoint that somebody else has seen, such as another peer, against this machine's. What is not signed by the log's key says nothing and
// is ignored; a signed one that does not fit is a fork, with its evidence kept.
func (t *Trust) Witness(ctx context.Context, seen []byte) error {
	return witness(ctx, t.cfg.Files, t.extra, t.checkpoint, seen, t.proof)
}

// Witness does the same for who has the repository. Evidence is kept in dir, a directory such as TrustConfig.Dir; "": it is not.
func (r *Repository) Witness(ctx context.Context, seen []byte, dir string) error {
	tx := r.newTx(ctx)
	if err := tx.load(); err != nil {
		return err
	}
	mine, err := readCheckpoint(ctx, r.Files(), tx.extra)
	if err != nil {
		return err
	}
	if dir != "" {
		dir = filepath.Join(dir, r.id)
	}
	return witness(ctx, r.Files(), tx.extra, mine, seen, dir)
}

func witness(ctx context.Context, files Files, x *extra, mine *Checkpoint, seen []byte, dir string) error {
	other, err := openCheckpoint(seen, x)
	if err != nil || mine == nil || mine.Note == nil {
		return nil
	}
	if other.Size > mine.Size {
		return nil // it is ahead: who has shown it is told of ours, and can compare
	}
	return evidence(dir, continues(ctx, files, other, mine), other, mine)
}

// evidence keeps what proves that a log has forked: two signed checkpoints of which one does not continue the other. It returns why, which names the file.
func evidence(dir string, why error, old, now *Checkpoint) error {
	var r *Refusal
	if !errors.As(why, &r) || r.Rule != RuleFork || dir == "" {
		return why
	}
	name := fmt.Sprintf("fork-%d-%d.txt", old.Size, now.Size)
	text := fmt.Sprintf("%s\n\nOne checkpoint:\n\n%s\nThe other:\n\n%s", r.Message, old.Note, now.Note)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := disk.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		return err
	}
	r.Hint = "both signed checkpoints are in " + filepath.Join(dir, name) + ": show them to the publisher"
	return r
}
