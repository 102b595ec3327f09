package piece

import (
	"fmt"
	"math/bits"
)

// Format is which hashes a torrent has.
type Format uint8

const (
	Auto   Format = iota // Hybrid, unless that would need too much padding
	Hybrid               // v1 and v2
	V1                   // BEP 3, for clients of before 2020
	V2                   // BEP 52
)

func (f Format) String() string {
	return [...]string{"auto", "hybrid", "v1", "v2"}[f]
}

const (
	minChosenPiece = 64 << 10
	maxChosenPiece = 8 << 20
	wantedPieces   = 2000    // the number of pieces sets how evenly a swarm spreads them, and the tail of a transfer
	paddedPieces   = 1 << 16 // as many as we make to avoid padding
	maxPadding     = 20      // 1/20 of the content: v1 clients fetch pad files
)

// choosePieceLength gives about 1000 to 2000 pieces.
func choosePieceLength(total int64) int64 {
	n := int64(minChosenPiece)
	for n < maxChosenPiece && total > wantedPieces*n {
		n *= 2
	}
	return n
}

// choose settles what the configuration leaves open: the piece length, and whether a hybrid pays.
func choose(c BuildConfig, dir bool, files []File) (format Format, pieceLength int64, notice string, err error) {
	var total int64
	for i := range files {
		if total += files[i].Length; total > maxSpace {
			return 0, 0, "", fmt.Errorf("more than %d bytes", int64(maxSpace))
		}
	}
	if total == 0 {
		return 0, 0, "", fmt.Errorf("there is no content: every file is empty")
	}
	format, pieceLength = c.Format, c.PieceLength
	if pieceLength == 0 {
		pieceLength = choosePieceLength(total)
	} else if err := checkPieceLength(pieceLength); err != nil {
		return 0, 0, "", err
	}
	if format != Auto {
		return format, pieceLength, "", nil
	}
	for n := pieceLength; ; n /= 2 {
		pad := padding(dir, files, n)
		if pad <= total/maxPadding {
			return Hybrid, n, "", nil
		}
		if c.PieceLength != 0 || n == BlockSize || total/n >= paddedPieces {
			return V2, pieceLength, fmt.Sprintf("v2 only: a hybrid would need %d bytes of padding for %d bytes of content; clients of before 2020 need v1", pad, total), nil
		}
	}
}

func checkPieceLength(n int64) error {
	if n < 1 || n > maxPieceLength {
		return fmt.Errorf("piece length %d is not within 1…%d", n, maxPieceLength)
	}
	if n < BlockSize || bits.OnesCount64(uint64(n)) != 1 {
		return fmt.Errorf("piece length %d is not a power of two of at least %d", n, BlockSize)
	}
	return nil
}

// padded reports whether a hybrid of these files gets pad files: as libtorrent does it, after every file with content, the last one too, but not in a
// torrent of a single file.
func padded(dir bool, files []File) bool { return dir && len(files) > 1 }

// padding is how many bytes of pad files a hybrid needs.
func padding(dir bool, files []File, pieceLength int64) (n int64) {
	if !padded(dir, files) {
		return 0
	}
	for i := range files {
		n += padAfter(files[i].Length, pieceLength)
	}
	return n
}

// padAfter is the gap behind a file that starts at a piece; pieceLength is a power of two.
func padAfter(length, pieceLength int64) int64 { return -length & (pieceLength - 1) }
