// Package sim runs the swarm engine's own decisions in a simulated network under a virtual clock.
//
// Each machine is a [swarm.Virtual]: the session that runs in production, with its picking, serving,
// leasing and dialling, its messages on the wire and all its books. Only what lies around it is a
// model (net.go): links are FIFO queues with a rate and a length, a connection is two streams with a
// window each that grows and shrinks roughly as CUBIC does, every packet carries its headers and
// every second one is acknowledged on the way back. Content is not moved, disks and processors
// take no time.
//
// A [Scenario] says which machines there are and what becomes of them; [Run] answers when each had
// everything and what each link carried. The same scenario and seed give the same result, to the
// byte. There is one goroutine: runs of different seeds can go side by side.
package sim
