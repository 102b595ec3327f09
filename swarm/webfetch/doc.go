// Package webfetch gets stretches of a torrent's content from a web seed (BEP 19): any HTTP server that has the files.
//
// A [Source] is one URL for one torrent. Fetch asks for a stretch of the piece space, one request for each file that it touches, over connections
// that are kept, and hands on the bytes as they come; gaps between files are skipped. What it hands on is unverified. Several Fetch calls may
// run at once.
//
// The server is a stranger. It must answer 206 with exactly the range that was asked for, in a file of exactly the torrent's length, without any
// content encoding; a 200 is used when little must be thrown away. The validators of a file (ETag, Last-Modified) are remembered, so that one
// that changes between two requests is noticed before its bytes are fetched in vain. Headers, redirects, bodies and silence are bounded.
//
// Errors say what to do next:
//
//	*Gone        that file is not there: never ask for it again
//	*Busy        not now, perhaps after RetryAfter
//	ErrChanged   (*Changed) the file is not the torrent's, or not the one it was a moment ago
//	ErrNoRange   the server ignores ranges: it is only good for the first bytes of a file
//	any other    temporary: try later, or elsewhere
//
// There are no goroutines here but those of net/http, which end with Close.
package webfetch
