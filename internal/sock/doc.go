// Package sock is what Linux can do with a connection and net does not offer: how much of what was written lies where,
// and files that go out without passing through the program. Elsewhere it says that it cannot.
package sock
