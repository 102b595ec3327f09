// Package edgecache is a copy near the users: contents of others that a node keeps for as long as they are worth their room, and gives on.
//
// # Terms
//
// An origin is a repository of signed releases, or a single content, at a URL. What it has on offer at a time is its catalog; each content in it is named by
// its key, the v2 info hash in hex. The shelf is what lies in the state directory, within the quota. Heat is how much a content is asked for. A content is
// followed if a channel of an app has it that the operator named, pinned if the operator said that it stays, owned if the ring, the cluster's common view, wants it here.
//
// # The life of a content
//
// A feed asks its origin for news (edge.go), verifies them as any client does and mirrors the signed files (repository.go, mirror.go). What is to be here and
// is not is fetched ahead, in its windows (keepup.go: plan), and what somebody asks for at once (gateway.go: obtain); either way want starts the one fetch
// that there is of it (bring.go). Room is reserved before: admit (policy.go) says whether the content is worth what would go for it, and those that go leave the swarm,
// the web and the disk, in that order. Where it comes from is decided by sources (ring.go): other edges that have it, and the origin by one edge for all. While
// it comes it is served from its transfer, what is waited for first; when it is whole, its record says so (record.go), and it is given to peers and over HTTP
// from where it lies. What of a release is a signed file, a small patch or an index of blocks, goes the same way (file.go). Files that do not look as they did are noticed without being read, read where they lie (recheck.go), and mended before they are served; what a disk loses
// without a sign is found by reading everything now and then (scrub.go).
//
// # Crashes
//
// The files are the truth: a content is whole if it has a record, which is written last and removed first. What has none is fetched on from where it was, or
// removed. Nothing is hashed again that has its record and looks as it did.
//
// # Goroutines
//
// Run starts and awaits all: one for each feed, one that keeps up with what is to be here, one that looks for files that have changed, one that reads them,
// one of the ring, and one for each fetch. They end with Run's context. Policies are pure functions: admit, evict, owners, sources, plan.
//
// The package signs nothing and decides nothing about who updates when.
package edgecache
