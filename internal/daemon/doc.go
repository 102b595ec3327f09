// Package daemon joins the parts of a node in one process behind one port: the swarm, the tracker,
// the content and the status API.
//
// [Serve] is an origin, [Track] a tracker alone, [Peer] the smallest node, for fetching. Each has
// one Run that returns when everything it started has stopped. The public port is read-only but
// for announces; the status API is served there and on a Unix socket in the state directory.
//
// Goroutines: the port's (internal/port), one for HTTP, the swarm's, the tracker's. All end with
// Run's context. The package holds no product logic.
package daemon
