package swarm

import (
	"net/http"
	"time"

	"shoal/internal/disk"
	"shoal/piece"
)

// Spec says what to take part in. Exactly one of Torrent, Load, or an info hash alone (a magnet)
// says which content; exactly one of Dir and Content says where it lies.
type Spec struct {
	// Torrent is the content when it is known.
	Torrent *piece.Torrent
	// Load reads the torrent when it is first needed, so that idle seeds cost nothing; V1, V2
	// and their flags must be set too.
	Load func() (*piece.Torrent, error)
	// V1 and V2 name the content of a magnet: its metadata comes from peers (BEP 9).
	V1           piece.Hash20
	V2           piece.Hash32
	HasV1, HasV2 bool
	Private      bool
	// Alias is piece.Info.AliasV1 for content that is loaded when needed; zero: none.
	Alias piece.Hash20

	// Dir is where the content is fetched to: it lands at Dir/NAME.
	Dir string
	// Keep leaves the content in its part files: Dir is then a place of the caller's to remove.
	Keep bool
	// Own says that what stands under the content's name in Dir is the caller's to change: what is wrong in a file is put right where it lies, not in a copy.
	Own bool
	// Content is the path of a verified file or tree that is seeded and never written.
	Content string
	// Stamps says what each file of Content looked like when it was verified; nil: as it is now.
	Stamps func(file int) (disk.Stamp, bool)
	// Leaves is a file with the SHA-256 of each 16 KiB leaf, for Content; may be empty.
	Leaves string
	// Ration bounds what is given of Content; nil: nothing does.
	Ration *Ration

	// Select says which files are wanted, by File.Name: NAME/path; nil: all.
	Select func(path string) bool
	// SelectIndex does the same by the file's index, counted as BEP 53 does; nil: all.
	SelectIndex func(i int) bool
	// InOrder fetches from front to back.
	InOrder bool

	Trackers [][]string // tiers (BEP 12)
	Crowd    bool       // many begin at this moment: trackers are asked for no more than is needed
	WebSeeds []string   // BEP 19
	// OriginSeeds are web seeds that the origin itself serves: the last resort.
	OriginSeeds []string
	// SpareSeeds are web seeds to fall back on, best first: each is asked only while all other web seeds and those before it fail.
	SpareSeeds []string
	// WebGrace is how long peers have to turn up before web seeds are asked; a shorter time than 250 ms is that. What a web seed has sent when peers take
	// over is lost on the way: who counts what its origin sends gives them more.
	WebGrace time.Duration
	// Note is told to peers of this torrent, and Heard, called by the loop, hears theirs: it must return at once. See SetNote.
	Note  []byte
	Heard func(note []byte)
	// Pace, if it is set, bounds what is fetched of this torrent, beside the node's limits.
	Pace *Pace
	// Local, if it is set, answers for OriginSeeds in place of the network: content that lies on this machine.
	Local http.RoundTripper
	Peers []string // HOST:PORT, dialled again and again
}
