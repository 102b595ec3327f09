// Package deliver leads from a SOURCE to verified files: for get, for edges and for updates.
//
// # The way
//
//	SOURCE → resolve → trust → plan → fetch → rebuild → verified files
//
// [Classify] says what a SOURCE is, without a packet. [Resolve] and [ResolveRelease] find out which content it means, the latter through the repository's
// signatures. [Fetch] fetches a content as it is. [Stage] brings a release here by the cheapest way that [Plan] has: an archive, a patch from a version
// that lies here (piece/delta), or the tree itself.
//
// # What is here
//
// Older versions are looked for where the state directory says that content was put, in Request.From, and beside the place (find.go). What one is, is told by descriptions that
// are at hand, lengths and a sample of pieces; what fits none is hashed, if it can be a version (recognize.go). Of what no plan is made for, files are told one by one, by lengths and
// pieces, under any name (alone.go, twins.go).
//
// # Rebuilding
//
// What an archive, a patch or an older version gives is written into the place of the tree's own fetch (swarm.Parts), which holds each file against
// the tree's hashes. What is right is journalled there and survives a kill; what is not is fetched by the tree's transfer, which at last gives all files
// their names. So a patch or an archive can cost its bytes in vain, and never install anything else than what was signed.
//
// [Stage] runs two goroutines for an archive or a patch, one that waits for its transfer and one that reads it as it becomes verified, and as many as there are
// cores that copy old files; all have ended when it returns.
//
// The package installs nothing, keeps no schedule, and writes only below Request.Dir and the state directory.
package deliver
