// Package swarmtest starts real programs for tests: shoal itself, as a process of its own, and the
// BitTorrent clients and web servers of others, on loopback or in network namespaces.
//
// A [Host] is a machine: it has a home for state and temporary files and, if it stands in a
// [Network], an address of its own. Its [Process]es end with the test, whatever the test does, and
// their output is shown when it fails. No traffic leaves the computer.
//
// Each process has one goroutine, which starts it, reads its stdout and waits for it.
package swarmtest
