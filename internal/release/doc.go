// Package release says what may be installed: it owns the signed repository of releases, on the publisher's side and on the client's.
//
// # Terms
//
// A repository is a directory. What the world may see of it lies in public and is nothing but files, so that any web server, edge or
// swarm can carry it; what it must not see lies beside it:
//
//	shoal.json                                    says that this is a repository, and which
//	root.json                                     the newest root, for clients to pin
//	keys/offline/…, keys/online/…                 private keys; the former are encrypted, and need not be here at all
//	inplace.json                                  content that was not copied, and where it lies
//	public/metadata/timestamp.json, N.ROLE.json   what is signed (TUF 1.0, consistent snapshots)
//	public/targets/releases/APP/VERSION/HASH.PLATFORM.json
//	public/targets/releases/APP/VERSION/HASH.PLATFORM+patches.json, HASH.PLATFORM+OLDVERSION.patch
//	public/targets/channels/APP/HASH.CHANNEL.json
//	public/targets/rollouts/APP/HASH.CHANNEL.json
//	public/targets/metainfo/HASH.V2.torrent.zst
//	public/log/checkpoint, tile/…, index/…        the transparency log (C2SP tlog-tiles)
//	public/content/V2/NAME…                       web seed
//
// An app is what is released, a version one state of it, a platform the machines a version is for, a channel a name that points to a version.
// Versions are never ordered by name: the channel decides. A [Release] document says which content a version is on a platform; a [Channel]
// document which version a channel has. Both are TUF targets.
//
// # Who signs what
//
// The root names the keys of all roles, the log's key and the key of the DHT item. It and the roles targets and app-APP (one for each app, delegated by
// targets) are signed with offline keys; snapshot, timestamp, rollout, log and item with online keys, which name no content. A client trusts in
// this order: pinned root → targets → app-APP → release document → metainfo → hashes of pieces.
//
// # Publishing
//
// [Repository.Update] takes the repository's lock, reads the newest files of each role, lets the caller change them, and writes in the order content →
// metainfo and documents → roles → log → snapshot → timestamp, each by rename. What a crash leaves half done is either not yet visible, or finished by
// the next Update. A role file is never overwritten, so that of two publishers one is told.
//
// # Trusting
//
// A [Trust] is what a machine knows of one repository: the pinned root and the newest metadata and log checkpoint it has verified, kept in trust/ID of the
// state directory. [Trust.Refresh] follows TUF's client workflow with go-tuf's rules, [Trust.Channel] and [Trust.Release] follow the chain
// down, and every release must stand in the log. What is refused is a [*Refusal] that names its rule. Files come from a [Files]: a web server, a
// directory, a bundle or a torrent; nothing depends on which.
//
// Everything from outside is bounded before it is read. The package starts no goroutines, and knows neither peers nor transfers.
package release
