// Package delta makes one version of some content from another. [Diff] writes a patch that holds what is new, [Apply] makes the new version from the old
// one and a patch.
//
// Which files stayed or were only renamed needs no patch: both versions are described by v2 info dictionaries (package piece), and equal files have equal
// roots ([Compare]). A patch has the new info dictionary, and the bytes of the files that are new or changed. Modes, symlinks, and empty files are in the info.
//
// # What it costs
//
// Diff sorts the suffixes of old content (7 bytes of memory for each of its bytes; more than [Options.Memory] is looked at in parts), looks for stretches
// of new files that have much in common with old ones, on all cores, and codes what is left with models that learn. New files below 1 MiB are looked for in
// all old files of that size that changed or are gone; larger ones in the file they were made from, which is the one at the same path or with the most similar
// name. Apply reads a patch once from front to back, and old files where the patch says, in bounded memory. It works in
// stages that run beside each other (stages.go).
//
// # Trust
//
// A patch is a stranger's. Apply takes from the signed release document which info dictionary is the right one, and believes nothing before its hash
// fits. After that, lengths are those of the Info, memory is bounded by constants, and old content is read within its bounds. What bytes it makes is not verified
// here: they go to a [Sink], and whoever owns it compares them with their roots.
//
// # The format
//
// Numbers are unsigned varints as in encoding/binary. A patch is
//
//	"shoal delta 3\n"   14 bytes
//	v2 info hash        32 bytes, of the old version
//	length              of the new info dictionary, at most 16 MiB
//	sections            that make the new info dictionary, where the old content is the old info dictionary
//	sections            that make the new files, where the old content are all old files end to end, in the order of their Info
//
// The new files are those with content for which Compare says Added or Changed: first those shorter than 1 MiB, then the others, both in the order of the new
// Info. They follow each other without marks; sections may end anywhere between two ops. A section is
//
//	output   how many bytes it makes, at least 1
//	n        length of ops, at most 20 MiB
//	m        length of new, at most 20 MiB, times two; and one more if new is the bytes themselves
//	made     how many new bytes its ops have, at most 20 MiB
//	ops      n bytes: range-coded ops with the differences of their copies (rangecoder.go, codec.go)
//	new      m bytes: the new bytes of all ops end to end, range-coded (fresh.go) or as they are
//
// An op makes the next bytes of one file: first a copy from the old content, then new bytes. It is coded as (codec.go: encodeOp)
//
//	rest     bit: the copy makes all that is left of the file; else
//	copied   number: length of the copy, may be 0
//	where    if it is not 0: a bit whether it begins where the last copy in this file ended; if not, a bit whether it begins as much later as new bytes
//	         were made since; if not, a number: the distance from that end, zigzag. A file that is Changed begins as if the last copy had ended at the
//	         beginning of the old file at its path, any other as if at 0
//	rest     if more is left: a bit: the new bytes make all of it; else
//	new      number: how many
//	copy     the differences of the copy
//
// A number from 0 to 2⁶³-1 is coded as its bit length in a tree of 6 bits, its three bits below the highest in trees of their own for each length, then the
// others but the lowest with even chances, and the lowest. Every bit that is not even has its own estimate, by all that is said here to come before it.
// Codes begin anew with each section; estimates, targets and the text of new bytes go on from one to the next, but not from the info dictionary to the files.
//
// A copy is taken 64 KiB at a time. In each part, where two bytes of the new file, 0xE8, 0xE9, a byte b with b&0xC7 = 0x05, or 0x0F and 0x80–0x8F, are followed
// by four of which none was in a field before, these are a little-endian signed distance, if it points into the same old file from behind itself; and are
// replaced by a guess (references.go). Differences are coded on the result: a symbol of 6 bits for how many bytes are equal (62: as many and
// a number more; 63: all that are left), and if one is not, what is to be added to it, 8 bits, and so on to the end of the copy. After a byte that
// differs a bit says first whether the next one does, too.
//
// New bytes are coded as literals and repeats (fresh.go): a bit for which; a literal as 8 bits by the kind of the last symbol and the byte before, or after
// a repeat the one with which it would have gone on; a repeat
// as a bit whether its distance is one of the last four, then that one's index, 2 bits, and its length less 2, or its length less 2 and its distance less 1.
package delta
