package swarm

import (
	"os"
	"path/filepath"

	"shoal/internal/disk"
	"shoal/piece"
)

// Left is what a fetch that was stopped has left of a content, as its journal has it: the next one takes that for its own, some of it when it was hashed once more.
type Left struct {
	dir   string
	info  *piece.Info
	have  bitset
	begun []bool // by file: it has a part, which goes before a file that stands in its place
}

// LeftIn looks at what is left in dir. Nothing is hashed or changed.
func LeftIn(dir string, info *piece.Info) *Left {
	l := &Left{dir, info, newBitset(info.NumPieces()), make([]bool, len(info.Files))}
	if !info.HasV2 {
		return l
	}
	root, err := os.OpenRoot(filepath.Join(dir, workDir(info)))
	if err != nil {
		return l
	}
	defer root.Close()
	state, known, err := readJournal(root, "journal", info.V2, disk.BootID(), info.NumPieces())
	if err != nil {
		return l
	}
	for i := range info.Files {
		f := &info.Files[i]
		st, err := root.Lstat(filepath.Join("parts", partName(i)))
		if err != nil || !st.Mode().IsRegular() || f.Length == 0 {
			continue
		}
		l.begun[i] = true
		first, end := info.FilePieces(i)
		for p := first; known && p < end; p++ {
			if _, to := spanIn(info, i, p); to <= st.Size() && (state.synced.has(p) || state.trusted.has(p) || state.suspect.has(p)) {
				l.have.add(p)
			}
		}
	}
	return l
}

// Has says whether a piece is here: it was verified once.
func (l *Left) Has(p int) bool { return l.have.has(p) }

// Begun says whether some of a file has come.
func (l *Left) Begun(file int) bool { return l.begun[file] }

// Bytes is how much of the content is here.
func (l *Left) Bytes() (n int64) {
	for p := range l.have.n {
		if l.have.has(p) {
			n += l.info.PieceLen(p)
		}
	}
	return n
}

// Path is where what has come of a file lies. It may be gone at any time, if the fetch goes on.
func (l *Left) Path(file int) string {
	return filepath.Join(l.dir, workDir(l.info), "parts", partName(file))
}
