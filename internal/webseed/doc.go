// Package webseed serves verified content from disk over HTTP, by range, the way BEP 19 web seeds are asked:
//
//	/content/HEX/NAME          the file of a single-file torrent; HEX is the v2 info hash, of a v1-only torrent the v1 hash
//	/content/HEX/NAME/PATH     a file of a tree
//	/NAME, /NAME/PATH          the same for contents that are Plain
//
// A path is looked up in the torrent's list of files and never joined from what a stranger sent. A file that has vanished, has another length, or is
// not the one any more that was verified (Content.Unchanged says so) answers 410 Gone, or what the caller of Handler.Serve does instead; the content's Gone callback is told once. Files are
// checked again before each slice that is sent: what changes or shrinks on the way ends the connection, so that nobody takes it for whole.
//
// GET and HEAD with Range, several ranges, If-Range, and a strong ETag that names the bytes. Bytes go from page cache to socket in the kernel
// (sendfile) when the connection allows; with a rate limit they go in slices of 64 KiB.
//
// Who adds a content can bound what the clients of swarms get of it (Content.Admit): they are answered 503 with Retry-After. A plain
// download is never turned down.
//
// The package knows neither torrents nor stamps, only lists of files: who adds a content says what is in it. It has no goroutines of its own.
package webseed
