package swarm

import (
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
)

// PeerError is why a peer that the user named gives nothing.
type PeerError struct {
	Addr string // HOST:PORT as it was given
	Err  error
}

// PeerErrors says of peers that were named, and not found, why they give nothing, by address. Those that are connected are not among them.
func (t *Transfer) PeerErrors() (list []PeerError) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for addr, err := range t.peerErr {
		list = append(list, PeerError{addr, err})
	}
	slices.SortFunc(list, func(a, b PeerError) int { return strings.Compare(a.Addr, b.Addr) })
	return list
}

// peerError notes why the last attempt at a peer has ended, if the user named it; nil: it is connected.
func (t *Transfer) peerError(e *entry, err error) {
	if e.pin == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		delete(t.peerErr, e.pin)
		return
	}
	if t.peerErr == nil {
		t.peerErr = map[string]error{}
	}
	t.peerErr[e.pin] = reasonOf(err)
}

var (
	errNoAnswer = errors.New("no answer")
	errHungUp   = errors.New("it ended the connection: perhaps it does not have this torrent")
)

// reasonOf leaves out of an error of the network what who named the peer knows.
func reasonOf(err error) error {
	var op *net.OpError
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errNoAnswer
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return errHungUp
	case errors.As(err, &op):
		if call := (*os.SyscallError)(nil); errors.As(op.Err, &call) {
			return call.Err
		}
		return op.Err
	}
	return err
}
