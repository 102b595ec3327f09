// Package interop tests shoal with the programs of others: aria2, libtorrent, Transmission, nginx,
// curl, and the tools that make torrents. There is nothing in it but tests.
//
// They run where SHOAL_REQUIRE names their group: interop for programs on loopback, netns for those
// that need root and network namespaces of their own (Transmission refuses peers at 127.0.0.0/8).
// There a program that is missing is a failure. The clients' own ways to find peers beside the
// tracker are off (DHT, local discovery, peer exchange, port mapping), and what they bring is
// compared byte by byte.
//
// What others cannot do, as seen:
//   - aria2 1.36 computes an info hash of its own from hybrid torrents (it drops the empty names in the
//     file tree); shoal answers to that one too.
//   - aria2 takes padding for files: it fetches it, and cannot seed a hybrid tree without.
//   - aria2 announces a magnet link as a seed (left=0), speaks to UDP trackers with its DHT on only, and
//     knows no v2.
//   - Transmission 3 refuses torrents that mention v2, hybrids too.
package interop
