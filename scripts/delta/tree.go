//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"

	"shoal/piece"
	"shoal/piece/blocks"
	"shoal/piece/delta"
)

// pieces prints a row about a machine for whose version there is no patch: what it fetches of the tree's pieces if it reuses equal files alone, and if it
// finds blocks of 16 KiB in the others, for which it fetches an index of them.
func (b *bench) pieces(ctx context.Context, p pair) error {
	oldDir, newDir, err := b.unpack(ctx, p)
	if err != nil {
		return err
	}
	for _, dir := range []string{oldDir, newDir} {
		if _, err := describe(ctx, dir); err != nil {
			return err
		}
	}
	old, err := tree(oldDir)
	if err != nil {
		return err
	}
	new, err := tree(newDir)
	if err != nil {
		return err
	}
	var packed bytes.Buffer
	if err := blocks.Write(ctx, &packed, new, nil); err != nil {
		return err
	}
	index, err := blocks.Parse(packed.Bytes(), new.Info)
	if err != nil {
		return err
	}
	changes := delta.Compare(old.Info, new.Info)
	var wanted []int
	changed := int64(0)
	for i, f := range new.Info.Files {
		if changes.Files[i].Kind <= delta.Changed && f.Symlink == nil && f.Length > 0 {
			wanted = append(wanted, i)
			changed += f.Length
		}
	}
	from := blocks.Old{Tree: old}
	for i, f := range old.Info.Files {
		if _, same := new.Info.FileByRoot(f.Root); f.Symlink == nil && f.Length > 0 && !same {
			from.Files = append(from.Files, i)
		}
	}
	found, err := blocks.Search(ctx, index, wanted, []blocks.Old{from}, nil)
	if err != nil {
		return err
	}
	missing := changed
	for _, i := range wanted {
		missing -= found.Bytes(i)
	}
	fmt.Printf("| %s | %d | %d | %d | %.1f |\n", p.name, changed, missing, blocks.Size(new.Info), percent(missing+blocks.Size(new.Info), new.Info))
	return nil
}

func percent(n int64, of *piece.Info) float64 { return 100 * float64(n) / float64(of.Length) }
