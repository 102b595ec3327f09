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
// name. What has little in common with it is only looked through for long stretches, for which nothing is sorted (sketch.go). Apply reads a patch once from front
// to back, and old files where the patch says, in bounded memory. It works in stages that run beside each other (stages.go).
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
//	"shoal delta 4\n"   14 bytes
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
//	ops      n bytes: the code of ops with the differences of their copies (codec.go)
//	new      m bytes: the new bytes of all ops end to end, as a code (fresh.go) or as they are
//
// A code (ans.go) is of nibbles, which are symbols of four bits, each with estimates of its own by all that is said here to come before it (nibble.go), and of bits
// that all are as likely. It begins with two states, one for every other symbol, and fills them when they become less than 1<<24, each time by 32 bits, big-endian; behind
// its end are zeros.
//
// An op makes the next bytes of one file: first a copy from the old content, then new bytes. It is coded as (codec.go: encodeOp)
//
//	shape    nibble: four times what the op makes: a copy, new bytes besides (or alone), new bytes to the end of the file, a copy to its end; and where the copy begins:
//	         there is none; where the last copy in this file ended; as much later as new bytes were made since; elsewhere. A file that is Changed begins
//	         as if the last copy had ended at the beginning of the old file at its path, any other as if at 0
//	copied   number less 1, if there is a copy that does not go to the end of the file
//	where    number: if it is elsewhere, the distance from the end of the last copy, zigzag
//	new      number less 1, if there are new bytes but not to the end of the file
//	copy     the differences of the copy
//
// A number from 0 to 2⁶³-1 is coded (model.go) as its bit length (in nibbles: 15 is that many and the next one's), its three bits below the highest and its lowest four as
// nibbles of their own for each length, and the bits between before the lowest four, with even chances. A byte is two nibbles, the lower one by the upper.
// Codes begin anew with each section; estimates, targets and the text of new bytes go on from one to the next, but not from the info dictionary to the files.
//
// A copy is taken 64 KiB at a time. In each part, where two bytes of the new file, 0xE8, 0xE9, a byte b with b&0xC7 = 0x05, or 0x0F and 0x80–0x8F, are followed
// by four of which none was in a field before, these are a little-endian signed distance, if it points into the same old file from behind itself; and are
// replaced by a guess (references.go). Differences are coded on the result: a nibble for how many bytes are equal (14: as many and more: two
// nibbles, and a number if the first of them is 15; 15: all that are left), and if one is not, what is to be added to it, a byte, and so on to the end of the copy.
//
// New bytes are coded as literals and repeats (fresh.go): a nibble for which of 0 a literal, 1 a repeat at another distance than the last four, 2–5 at one of these; a literal as a
// byte by the kind of the last symbol and the byte before, or after a repeat the one with which it would have gone on; a repeat as its length less 2, and
// its distance less 1 if that is none of the last.
package delta
