// Package port lets one TCP and one UDP port of the same number serve everything a node speaks, so that an operator has one number to open.
//
// Over TCP the first bytes decide, by exact prefix and never by a single byte, because an encrypted stranger begins with random ones:
//
//	\x13BitTorrent protocol     the peer wire protocol (BEP 3), to Handlers.BitTorrent
//	a method and a space        HTTP, to the listener that HTTP returns ("PRI * HTTP/2.0" as well)
//	16 03                       TLS, to the listener that TLS returns, or closed if Handlers.TLS does not say that somebody accepts there
//	anything else               an encrypted handshake (MSE) or noise, to Handlers.Encrypted; closed at once where there is none: clients that
//	                            tried encryption then fall back to plaintext
//
// What was read to decide is read again by whoever gets the connection. A connection that has not decided within five seconds is closed, and
// only so many may be undecided; when there are too many, one of the address that has the most goes, the one that has waited longest.
// Connections handed on are still *net.TCPConn underneath: net/http reaches sendfile through them, and a test counts the system calls.
//
// Over UDP the first bytes of each datagram decide:
//
//	00                          the tracker (BEP 15): "connect" begins with 00 00 04 17 27 10 19 80, the others with our connection ids, whose
//	                            first byte the tracker must keep 00
//	'd'                         the DHT (BEP 5), which answers later: a flood of the one must not hold up the other
//	41                          a uTP SYN (BEP 29): answered with ST_RESET. We do not speak uTP, but clients that try it first and hear nothing,
//	                            not even an ICMP error, wait for their time-out before they try TCP
//	anything else               dropped
//
// Answers leave from the address that was asked, where the system tells which one it was.
//
// A port is quiet (Listen) or busy (ListenBusy). A busy one has as many sockets as the process has cores, of each kind, where the system spreads the
// load over them (SO_REUSEPORT; nobody else can join in); datagrams come and go in batches on either (recvmmsg, sendmmsg); and HTTP requests that
// Handlers.Quick answers on the spot, as a tracker does, cost four system calls from accept to close, and no goroutine.
//
// Listen takes the numbers, Run serves until its context ends. Goroutines: Run has one for each listening socket, one for each UDP socket (IPv4 and IPv6 have
// their own), and one for each connection that is undecided, with Handlers.BitTorrent or Handlers.Encrypted, or kept open between quick requests. All end with Run's context: sockets and those
// connections are closed, and Run waits for them. HTTP connections belong to whoever accepted them.
package port
