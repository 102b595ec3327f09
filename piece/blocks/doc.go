// Package blocks finds blocks of 16 KiB of a new version of some content in an old one, wherever they lie there: for machines that have a version from which there is
// no patch. An [Index] of the new version is published beside it; [Search] rolls over old files.
//
// # Trust
//
// An index is a stranger's. It has all leaves of the new version's files (BEP 52), and a file's leaves are used only if its root, which is in the content's
// description, is theirs. So a block that was found is the right one whatever the index says otherwise, and each block that is fetched can be verified by itself.
//
// # The format
//
//	"shoal blocks 1\n"   15 bytes
//	v2 info hash         32 bytes, of the content
//	of each file with more than one block, in the order of the info dictionary, of equal files the first:
//	  weak               4 bytes for each of its blocks of 16 KiB, little endian: see roll.go; 0 for a last block that is shorter
//	  leaves             32 bytes for each of its blocks: SHA-256
//
// Which files these are, and how many blocks they have, says the info dictionary, so that an index has exactly one length. A file of one block needs none: its root is
// its leaf, and a machine that has the block has a file with that root.
package blocks
