package piece

import (
	"fmt"
	"strings"
)

// State is what is wrong with a file.
type State uint8

const (
	Missing    State = iota + 1
	Short            // than the torrent says
	Long             // likewise
	Corrupt          // of the right length, with wrong bytes
	WrongType        // a directory where a file should be, and the like
	WrongLink        // a symlink to another target
	WrongMode        // the content is right, the owner's executable bit is not
	Unreadable       // see FileReport.Err
)

func (s State) String() string {
	return [...]string{"good", "missing", "short", "long", "corrupt", "type", "link", "mode", "unreadable"}[s]
}

// Report tells how content compares with a torrent.
type Report struct {
	BadPieces []int        // that a selected file needs; ascending
	Unchecked []int        // v1 pieces of selected files that cannot be told without a file that was left out
	Files     []FileReport // the bad ones, ascending
	Good      int64        // bytes of selected content in good pieces
	Total     int64        // bytes of selected content
	Stats     []FileStat   // of each file of the torrent as it was found; zero where there was none
}

// FileReport is one bad file.
type FileReport struct {
	File   int // index into Info.Files
	State  State
	Err    error // Unreadable: why
	Pieces []int // its bad pieces. A v1 piece that is bad only for want of another file stands with that file
}

// OK reports whether all that was selected is as the torrent says.
func (r *Report) OK() bool {
	return len(r.Files) == 0 && len(r.BadPieces) == 0 && len(r.Unchecked) == 0
}

// report gathers what was found.
func (v *verification) report() *Report {
	r := &Report{Stats: v.stats}
	for i := range v.files {
		if f := &v.files[i]; f.State == Unreadable {
			v.remarkPieces(i, pieceBad)
		}
	}
	for p, state := range v.pieces {
		switch state {
		case pieceBad:
			r.BadPieces = append(r.BadPieces, p)
			v.blame(p)
		case pieceUnchecked:
			r.Unchecked = append(r.Unchecked, p)
		}
		off, n := v.in.PieceSpan(p)
		for s := range v.in.Segments(off, n) {
			if !v.selected[s.File] {
				continue
			}
			r.Total += s.Length
			if state == pieceGood {
				r.Good += s.Length
			}
		}
	}
	for i := range v.files {
		if v.files[i].State != 0 {
			v.files[i].File = i
			r.Files = append(r.Files, v.files[i])
		}
	}
	return r
}

// blame enters a bad piece with its files: with those that are known to be bad otherwise, or else with all.
func (v *verification) blame(p int) {
	off, n := v.in.PieceSpan(p)
	known := false
	for s := range v.in.Segments(off, n) {
		f := &v.files[s.File]
		known = known || f.State != 0 && f.State != WrongMode && f.State != Corrupt
	}
	for s := range v.in.Segments(off, n) {
		f := &v.files[s.File]
		if !v.selected[s.File] || known && (f.State == 0 || f.State == WrongMode || f.State == Corrupt) {
			continue
		}
		if f.State == 0 || f.State == WrongMode {
			f.State = Corrupt
		}
		f.Pieces = append(f.Pieces, p)
	}
}

// String tells the report in one line, for logs.
func (r *Report) String() string {
	if r.OK() {
		return fmt.Sprintf("%d bytes are good", r.Good)
	}
	states := map[State]int{}
	for _, f := range r.Files {
		states[f.State]++
	}
	var parts []string
	for s := Missing; s <= Unreadable; s++ {
		if n := states[s]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %v", n, s))
		}
	}
	return fmt.Sprintf("%d of %d bytes are good; %d bad pieces; files: %s", r.Good, r.Total, len(r.BadPieces), strings.Join(parts, ", "))
}
