// Package piece describes content: which files there are, which bytes they hold, and by which hashes anyone can tell.
//
// A [Torrent] is a .torrent file; inside it an [Info], the info dictionary whose hash names the content. Build makes one from a file or a directory,
// Read and ParseInfo check one that a stranger made, Verify compares what lies on a disk with it.
//
// # Terms
//
// A torrent cuts its files into pieces of equal length. Position piece × PieceLength + begin is a place in the piece space. In v1 (BEP 3) files follow
// each other in that space, in v2 (BEP 52) and hybrids each file starts at a piece, and what is left of its last piece is a gap. Pad files (BEP 47) are
// gaps as well. A gap is not content: it reads as zeros where a v1 piece is hashed, and is never stored, fetched or counted.
//
// v1 has a SHA-1 for each piece. v2 has a tree of SHA-256 hashes for each file: the leaves are those of its blocks of 16 KiB, the nodes that stand for
// whole pieces are the file's piece layer, the top is its pieces root. A hybrid has both, over the same files.
//
// # What is refused
//
// Everything a torrent says is checked before it is believed: bencode with one spelling, bounded lengths, counts and depths, hashes enough for the
// bytes, two halves of a hybrid that say the same, and names that are safe on every system: no "..", no separators, no Windows devices, none that
// differ in case only, no symlink out of the tree. Such errors wrap [ErrBadTorrent].
//
// # How bytes are hashed
//
// Build lists the files, lays them out, and then reads every byte once. The workers, one for each core, take batches of pieces of about 1 MiB until
// none are left; a worker reads 256 KiB at a time into a buffer that stays in its core's cache, and feeds it block by block to the SHA-1 of the piece and
// to the SHA-256 of the leaf, two messages at a time because one leaves half the core idle (internal/lanes). A file is opened with its first piece and
// closed with its last, when it must still be what it was. Verify is the same with another end: it compares. Both wait for their workers, which end when
// the pieces do, at the first error, or when the context is done.
//
// The leaves can be kept in a flat file, 32 bytes each, in which every piece has its full room ([Info.FirstLeaf]). From it [Info.Hashes] answers the
// hash requests of BEP 52, and [Info.CheckHashes] checks such answers.
//
// This package reads disks and never writes to them, and never touches the network.
//
// BEPs: 3, 9 (writing magnets), 12, 19, 27, 47, 52.
package piece
