// Package edgecache is a copy near the users: content that a node keeps for others.
//
// For now an edge keeps what it is told to, one content for as long as it runs: [Keep] fetches it
// like any machine and gives it to everybody from the first verified piece on. The node it runs on
// says role "edge" to others, who count its bytes apart and prefer nobody for a claim.
//
// The package starts no goroutines and signs nothing.
package edgecache
