//go:build !linux

package port

import "net"

// acceptor accepts from one listening socket.
type acceptor struct{ *listening }

// listening is a listening socket.
type listening struct{ *net.TCPListener }

func newListening(l *net.TCPListener, _ bool) (*listening, error) { return &listening{l}, nil }
func newAcceptor(l *listening, _ QuickHandler) (*acceptor, error) { return &acceptor{l}, nil }

func (a *acceptor) next() (accepted, error) {
	c, err := a.AcceptTCP()
	return accepted{TCPConn: c}, err
}
