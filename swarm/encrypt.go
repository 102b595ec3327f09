package swarm

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"shoal/swarm/mse"
	"shoal/swarm/wire"
)

// Encryption is whether connections to peers are hidden from those who look on (MSE). It is no
// protection against who knows the torrent.
type Encryption uint8

// The policies.
const (
	// EncryptionPrefer lets in both. It dials in plaintext, which costs less, and encrypts for those
	// that want it or take nothing else.
	EncryptionPrefer Encryption = iota
	// EncryptionRequire lets in and dials nothing that is not encrypted throughout.
	EncryptionRequire
	// EncryptionOff does not encrypt.
	EncryptionOff
)

var encryptionNames = [...]string{"prefer", "require", "off"}

func (e Encryption) String() string { return encryptionNames[e] }

// ParseEncryption reads a policy's name.
func ParseEncryption(s string) (Encryption, bool) {
	for i, n := range encryptionNames {
		if n == s {
			return Encryption(i), true
		}
	}
	return EncryptionPrefer, false
}

// methods are those that a handshake may end up with.
func (e Encryption) methods() mse.Method {
	if e == EncryptionRequire {
		return mse.RC4
	}
	return mse.RC4 | mse.Plaintext
}

// way is how to talk to an address, as far as it is known.
type way uint8

const (
	anyWay way = iota
	plain
	sealed
)

// ways are those to try with an address, in turn.
func (e Encryption) ways(known way) []way {
	switch {
	case e == EncryptionRequire:
		return []way{sealed}
	case e == EncryptionOff:
		return []way{plain}
	case known == plain:
		return []way{plain}
	case known == sealed:
		return []way{sealed, plain}
	}
	return []way{plain, sealed}
}

// refused says whether the other side has ended a connection instead of answering: it does not
// take this kind of connection, or not this torrent.
func refused(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// initiate opens a connection that has been dialled: it shakes hands, encrypted if that is the way.
// The result talks over nc, which it does not close.
func initiate(ctx context.Context, nc net.Conn, ours wire.Handshake, w way, e Encryption) (net.Conn, wire.Handshake, error) {
	nc.SetDeadline(time.Now().Add(handshakeTime))
	stop := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Now()) })
	defer stop()
	hello, opened := ours.Append(nil), nc
	if w == sealed {
		c, err := mse.Initiate(nc, ours.InfoHash, e.methods(), hello)
		if err != nil {
			return nil, wire.Handshake{}, err
		}
		opened = c
	} else if _, err := nc.Write(hello); err != nil {
		return nil, wire.Handshake{}, err
	}
	h, err := wire.ReadHandshake(opened)
	return opened, h, err
}

// maxSealed is how many encrypted connections are taken in a second: each costs us two
// exponentiations before anything is known of who opened it.
const maxSealed = 200

// HandleEncrypted is [Node.HandleConn] for a connection that begins with nothing known: it is
// taken if it is an encrypted handshake for a torrent of ours.
func (n *Node) HandleEncrypted(ctx context.Context, nc net.Conn) {
	if n.cfg.Encryption == EncryptionOff {
		nc.Close()
		return
	}
	n.mu.Lock()
	ok := n.sealed.take(time.Now())
	n.mu.Unlock()
	if !ok {
		nc.Close()
		return
	}
	n.handle(ctx, nc, func() (net.Conn, error) {
		c, _, err := mse.Accept(nc, n.secretOf, n.cfg.Encryption.methods())
		if err != nil {
			return nil, err
		}
		return c, nil
	})
}

// secretOf finds the info hash behind its name in an encrypted handshake.
func (n *Node) secretOf(name [20]byte) ([20]byte, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	h, ok := n.secrets[name]
	return h, ok
}

// register has a transfer be found by an info hash; n.mu is held.
func (n *Node) register(h [20]byte, t *Transfer) {
	n.transfers[h] = t
	n.secrets[mse.Name(h)] = h
}

// unregister undoes register; n.mu is held.
func (n *Node) unregister(h [20]byte) {
	delete(n.transfers, h)
	delete(n.secrets, mse.Name(h))
}

// writeAll writes all of bufs, with as few system calls as the connection allows.
func writeAll(nc net.Conn, bufs net.Buffers) error {
	if c, ok := nc.(*mse.Conn); ok {
		return c.WriteBuffers(bufs)
	}
	_, err := bufs.WriteTo(nc)
	return err
}
