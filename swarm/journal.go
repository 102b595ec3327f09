package swarm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"
)

// The journal says which pieces of a fetch are verified and on disk. It is a file of records,
// each 1 byte of length, a payload, and the payload's CRC-32C (little endian):
//
//	'H' version(1) id(32) boot id     first record: whose journal this is, and which boot wrote it
//	'R' first count                   uvarints: count pieces from first are verified and written
//	'L' first count                   the same, but SHA-1 has not been checked yet (hybrids)
//	'D' first count                   were verified once and are to be hashed before they count
//	'S' n                             uvarint: the first n runs have reached the disk
//	'C'                               last record: we stopped in an orderly way
//
// After kill -9 every 'R' holds, since the page cache outlives the process. After another boot
// only what an 'S' covers does; the rest is hashed again. A journal that does not parse to its
// end has nothing to say: everything in the parts is hashed.
//
// Its modification time is the word on who wrote to the parts: each of our writes is followed by
// one to the journal (see [journal.touch]), so that a part which is younger was written by
// somebody else, or by us within the last moment of a process that was killed. After 'C' a part of
// the same age is somebody else's work too; without it, what another writes within the same tick
// of the file system's clock (at most 10 ms) as our last breath is not noticed.
const journalVersion = 1

// maxJournal bounds what is read of a journal; four million pieces fit.
const maxJournal = 64 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type run struct{ first, count int }

// journalState is what a journal said when it was opened. No piece is in two of the sets.
type journalState struct {
	synced  bitset // verified, and on the disk itself
	trusted bitset // verified, and at least in the page cache
	suspect bitset // were verified once; to be hashed
	leaved  bitset // of those: right by their leaves, and only SHA-1 is to be checked

	closed  bool      // in an orderly way
	written time.Time // when the journal was last touched
}

// young says whether a part that was changed at ns was changed by somebody else.
func (s *journalState) young(ns int64) bool {
	w := s.written.UnixNano()
	return ns > w || s.closed && ns == w
}

func newJournalState(pieces int) journalState {
	return journalState{synced: newBitset(pieces), trusted: newBitset(pieces), suspect: newBitset(pieces), leaved: newBitset(pieces)}
}

// doubt has piece p hashed before it counts.
func (s *journalState) doubt(p int) {
	s.synced.remove(p)
	s.trusted.remove(p)
	s.leaved.remove(p)
	s.suspect.add(p)
}

func appendRecord(b, payload []byte) []byte {
	b = append(b, byte(len(payload)))
	b = append(b, payload...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(payload, castagnoli))
}

func headerRecord(id [32]byte, boot string) []byte {
	p := append([]byte{'H', journalVersion}, id[:]...)
	return appendRecord(nil, append(p, boot[:min(len(boot), 128)]...))
}

func appendRun(b []byte, kind byte, r run) []byte {
	p := binary.AppendUvarint([]byte{kind}, uint64(r.first))
	return appendRecord(b, binary.AppendUvarint(p, uint64(r.count)))
}

func appendSynced(b []byte, records int) []byte {
	return appendRecord(b, binary.AppendUvarint([]byte{'S'}, uint64(records)))
}

// appendSet appends the pieces of a set as runs, and counts the records.
func appendSet(b []byte, kind byte, s *bitset) (_ []byte, records int) {
	for p := 0; p < s.n; p++ {
		first := p
		for p < s.n && s.has(p) {
			p++
		}
		if p > first {
			b = appendRun(b, kind, run{first, p - first})
			records++
		}
	}
	return b, records
}

var errJournal = errors.New("not a whole journal of this torrent")

// parseJournal reads a journal of a torrent with the given id and number of pieces.
func parseJournal(b []byte, id [32]byte, boot string, pieces int) (journalState, error) {
	s := newJournalState(pieces)
	next := func() []byte {
		if len(b) < 1 || len(b) < 1+int(b[0])+4 {
			return nil
		}
		n := int(b[0])
		p := b[1 : 1+n]
		if crc32.Checksum(p, castagnoli) != binary.LittleEndian.Uint32(b[1+n:]) {
			return nil
		}
		b = b[1+n+4:]
		return p
	}
	head := next()
	if len(head) < 2+32 || head[0] != 'H' || head[1] != journalVersion || !bytes.Equal(head[2:34], id[:]) {
		return s, errJournal
	}
	sameBoot := boot != "" && string(head[34:]) == boot[:min(len(boot), 128)]
	type record struct {
		kind byte
		run
	}
	var records []record
	onDisk := 0 // of records
	for len(b) > 0 {
		p := next()
		if len(p) == 1 && p[0] == 'C' && len(b) == 0 {
			s.closed = true
			break
		}
		if len(p) < 2 {
			return newJournalState(pieces), errJournal
		}
		first, n := binary.Uvarint(p[1:])
		if n <= 0 {
			return newJournalState(pieces), errJournal
		}
		switch p[0] {
		case 'S':
			if first > uint64(len(records)) {
				return newJournalState(pieces), errJournal
			}
			onDisk = max(onDisk, int(first))
			continue
		case 'R', 'L', 'D':
		default:
			return newJournalState(pieces), errJournal
		}
		count, m := binary.Uvarint(p[1+n:])
		if m <= 0 || first > uint64(pieces) || count > uint64(pieces)-first {
			return newJournalState(pieces), errJournal
		}
		records = append(records, record{p[0], run{int(first), int(count)}})
	}
	for i, r := range records {
		for p := r.first; p < r.first+r.count; p++ {
			switch {
			case r.kind == 'D':
				s.doubt(p)
			case s.synced.has(p):
			case r.kind == 'R' && i < onDisk:
				s.suspect.remove(p)
				s.leaved.remove(p)
				s.trusted.remove(p)
				s.synced.add(p)
			case r.kind == 'R' && sameBoot:
				s.suspect.remove(p)
				s.leaved.remove(p)
				s.trusted.add(p)
			case !s.trusted.has(p):
				s.suspect.add(p)
				if r.kind == 'L' && (i < onDisk || sameBoot) {
					s.leaved.add(p)
				}
			}
		}
	}
	return s, nil
}

// journal appends to a journal file. It is safe for concurrent use.
type journal struct {
	mu      sync.Mutex
	f       *os.File
	records int // of runs
	void    bool
	first   [1]byte // of the file, which touch writes over itself
}

// readJournal reads the journal called name below root. known is false if there is none, or one
// that says nothing.
func readJournal(root *os.Root, name string, id [32]byte, boot string, pieces int) (s journalState, known bool, err error) {
	s = newJournalState(pieces)
	f, err := root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return s, false, nil
	}
	if err != nil {
		return s, false, fmt.Errorf("opening journal: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return s, false, fmt.Errorf("reading journal: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxJournal))
	if err != nil {
		return s, false, fmt.Errorf("reading journal: %w", err)
	}
	s, bad := parseJournal(b, id, boot, pieces)
	s.written = st.ModTime()
	return s, bad == nil, nil
}

// newJournal puts a journal that says what s says in the place of the one called name, if any.
func newJournal(root *os.Root, name string, id [32]byte, boot string, s *journalState) (*journal, error) {
	b := headerRecord(id, boot)
	b, synced := appendSet(b, 'R', &s.synced)
	if synced > 0 {
		b = appendSynced(b, synced)
	}
	b, trusted := appendSet(b, 'R', &s.trusted)
	b, suspect := appendSet(b, 'D', &s.suspect)
	tmp := name + ".new"
	f, err := root.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o666)
	if err != nil {
		return nil, fmt.Errorf("writing journal: %w", err)
	}
	_, err = f.Write(b)
	if err == nil && synced+trusted+suspect > 0 { // the old one is worth something until this one is safe
		err = f.Sync()
	}
	if err == nil {
		err = root.Rename(tmp, name)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("writing journal: %w", err)
	}
	return &journal{f: f, records: synced + trusted + suspect, first: [1]byte{b[0]}}, nil
}

// add notes a verified piece. kind is 'R', or 'L' while its SHA-1 is still to be checked.
func (j *journal) add(kind byte, p int) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.void {
		return nil
	}
	if _, err := j.f.Write(appendRun(nil, kind, run{p, 1})); err != nil {
		return fmt.Errorf("writing journal: %w", err)
	}
	j.records++
	return nil
}

// length is how many runs were written.
func (j *journal) length() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.records
}

// touch follows each write to a part: it makes the journal the youngest file. It writes the first
// byte over itself, which costs about a microsecond and needs no room on the disk.
func (j *journal) touch() {
	j.f.WriteAt(j.first[:], 0) // where it fails, more is hashed at the next start
}

// synced marks the first n runs as having reached the disk, which the caller has seen to.
func (j *journal) synced(n int) error {
	j.mu.Lock()
	var err error
	if !j.void {
		_, err = j.f.Write(appendSynced(nil, n))
	}
	j.mu.Unlock()
	if err == nil {
		err = j.f.Sync()
	}
	if err != nil {
		return fmt.Errorf("writing journal: %w", err)
	}
	return nil
}

// forget makes the journal say nothing, for when what it said was wrong.
func (j *journal) forget() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.void = true
	if j.f.Truncate(0) == nil {
		j.f.Sync()
	}
}

// abandon has close say nothing: the journal is gone.
func (j *journal) abandon() {
	j.mu.Lock()
	j.void = true
	j.mu.Unlock()
}

// close ends the journal. Nobody writes to a part any more.
func (j *journal) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.void {
		j.outlive()
		j.f.Write(appendRecord(nil, []byte{'C'}))
	}
	return j.f.Close()
}

// outlive touches the journal until it is younger than all that was written up to now.
func (j *journal) outlive() {
	st, err := j.f.Stat()
	for range 20 { // a tick of the clock is at most 10 ms
		if err != nil {
			return
		}
		was := st.ModTime()
		j.touch()
		if st, err = j.f.Stat(); err == nil && st.ModTime().After(was) {
			return
		}
		time.Sleep(time.Millisecond)
	}
}
