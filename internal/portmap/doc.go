// Package portmap asks the router to let others in to a port of this machine: by PCP (RFC 6887),
// by NAT-PMP (RFC 6886) if the router knows only that, and by UPnP if it knows neither. PCP and
// NAT-PMP need the address of the router, which is looked up on Linux only.
//
// Run keeps the mapping until its context ends, and then gives it back. What a router answers is
// bounded and checked; nobody else is listened to. The codecs of PCP and NAT-PMP are ours (24, 36,
// 12 and 16 bytes), since no library that is kept up has both without much else; UPnP's discovery
// and SOAP are github.com/huin/goupnp's.
//
// Run starts no goroutine; UPnP's discovery has some, which end before it returns.
package portmap
