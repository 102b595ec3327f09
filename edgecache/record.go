package edgecache

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"shoal/internal/disk"
	"shoal/piece"
)

// record says that a content is here, whole, and what its files looked like when they were verified. It is written when that is so, as content/KEY.json,
// and removed before any of its files: so a content without one is not whole, whenever the machine was stopped.
type record struct {
	Format int          `json:"format"` // 1
	Name   string       `json:"name"`
	Bytes  int64        `json:"bytes"` // of content
	Cost   int64        `json:"cost"`  // of the disk, see costOf
	At     time.Time    `json:"at"`    // when it was whole
	Stamps []disk.Stamp `json:"stamps"`
	// Read is when all of it was read and compared last, if that was after At: see scrub.
	Read time.Time `json:"read,omitzero"`
}

const recordFormat = 1

func readRecord(path string) (*record, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := new(record)
	if err := json.Unmarshal(b, r); err != nil || r.Format != recordFormat || r.Cost < r.Bytes || r.Bytes < 0 {
		return nil, fmt.Errorf("%s is not a record of a content", path)
	}
	return r, nil
}

const (
	blockBytes  = 4096 // that a file or directory is a multiple of on the disk
	recordBytes = 160  // of a file's stamp in a record, at most
	nameBytes   = 256  // of a file's name in its directory, about
)

// blocks is how much of the disk n bytes of a file take.
func blocks(n int64) int64 { return (n + blockBytes - 1) / blockBytes * blockBytes }

// fileCost is how much of the disk a file takes at most, with its name in its directory.
func fileCost(n int64) int64 { return blocks(n) + nameBytes }

// costOf is how much of the disk a content takes at most, in bytes, while it is fetched and after: its files in whole blocks, its directories, the hashes
// of leaves and the journal of its fetch, its metainfo and its record.
func costOf(t *piece.Torrent) int64 {
	pieces := int64(t.NumPieces())
	cost := blocks(int64(len(t.Files))*recordBytes) + blocks(64*pieces+16<<10) // record, journal
	cost += blocks(int64(len(t.Bytes)) + 64*pieces + 4096)                     // metainfo with its piece layers
	if t.HasV2 {
		cost += blocks(pieces * t.PieceLength / piece.BlockSize * 32)
	}
	dirs := map[string]bool{}
	for i := range t.Files {
		f := &t.Files[i]
		cost += blocks(f.Length)
		for n := range f.Path {
			dirs[filepath.Join(f.Path[:n]...)] = true
		}
	}
	// Of directories: those of the content, and of its fetch; a long list of names takes more than a block.
	return cost + int64(len(dirs)+4)*blockBytes + blocks(int64(len(t.Files))*64)
}
