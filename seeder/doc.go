// Package seeder is the origin's content: it describes files and directories, seeds them, and
// serves them over HTTP as web seeds and plain downloads.
//
// A content's life: a path is hashed once (or its description is taken from the state directory,
// if no file has changed since), then it is offered to the swarm and under /content/HASH/NAME,
// /NAME and /NAME.torrent until the seeder ends or a file changes. What has changed is noticed by
// size, times and inode before each read and never served as good again.
//
// The state directory holds metainfo/HASH.torrent, metainfo/HASH.leaves (SHA-256 of each 16 KiB,
// for BEP 52 hash requests) and metainfo/HASH.json (where the content lies and what each file
// looked like when it was hashed). Metainfo is read again when a peer comes: an idle content costs
// a few hundred bytes of memory.
//
// The package starts no goroutines of its own; it never decides who updates when, and never writes
// to content.
package seeder
