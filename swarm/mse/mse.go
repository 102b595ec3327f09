package mse

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/rc4"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
)

// Method is how a connection goes on after the handshake; Methods are or-ed to offer several.
type Method uint32

// The methods.
const (
	Plaintext Method = 1
	RC4       Method = 2
)

func (m Method) String() string {
	switch m {
	case Plaintext:
		return "plaintext"
	case RC4:
		return "RC4"
	}
	return fmt.Sprintf("methods %#x", uint32(m))
}

// KeyLen is the length in bytes of the public key that both sides open with.
const KeyLen = 96

// maxPad bounds each padding, in bytes. MaxAhead bounds what whoever opens a connection sends
// ahead with the handshake; more than a BitTorrent handshake and a few messages is not sane.
const (
	maxPad   = 512
	MaxAhead = 4 << 10
)

// What can go wrong besides the connection.
var (
	ErrUnknownKey = errors.New("encrypted handshake for a torrent that is not here")
	ErrMethod     = errors.New("no common method of encryption")
	errSync       = errors.New("not an encrypted handshake")
	errLength     = errors.New("encrypted handshake: length out of range")
)

// The group of the specification.
func prime() *big.Int {
	p, _ := new(big.Int).SetString("FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A63A36210000000000090563", 16)
	return p
}

// Name is HASH("req2", SKEY): what a torrent is called before its peers have told who they are.
func Name(skey [20]byte) [20]byte { return hash("req2", skey[:]) }

func hash(label string, parts ...[]byte) (sum [20]byte) {
	h := sha1.New()
	io.WriteString(h, label)
	for _, p := range parts {
		h.Write(p)
	}
	h.Sum(sum[:0])
	return sum
}

// keys are one side's half of the exchange.
type keys struct {
	p, x   *big.Int
	public [KeyLen]byte
}

// newKeys makes keys whose public half can begin a connection: it is never taken for the beginning
// of another protocol on the same port (a BitTorrent handshake, TLS, a method of HTTP).
func newKeys() *keys {
	k := &keys{p: prime()}
	for {
		var x [20]byte
		rand.Read(x[:])
		k.x = new(big.Int).SetBytes(x[:])
		new(big.Int).Exp(big.NewInt(2), k.x, k.p).FillBytes(k.public[:])
		if b := k.public[0]; b != 0x13 && b != 0x16 && (b < 'A' || b > 'Z') {
			return k
		}
	}
}

// secret is S. Keys of others that make it known to everybody are refused.
func (k *keys) secret(theirs []byte) ([]byte, error) {
	y := new(big.Int).SetBytes(theirs)
	if y.Cmp(big.NewInt(1)) <= 0 || y.Cmp(new(big.Int).Sub(k.p, big.NewInt(1))) >= 0 {
		return nil, errors.New("encrypted handshake: degenerate key")
	}
	return y.Exp(y, k.x, k.p).FillBytes(make([]byte, KeyLen)), nil
}

// stream is the cipher of one direction: "keyA" from who opened the connection, "keyB" to it.
func stream(label string, s []byte, skey [20]byte) *rc4.Cipher {
	key := hash(label, s, skey[:])
	c, err := rc4.NewCipher(key[:])
	if err != nil {
		panic(err) // 20 bytes are a key
	}
	var drop [1024]byte
	c.XORKeyStream(drop[:], drop[:])
	return c
}

func padding() []byte {
	var n [2]byte
	rand.Read(n[:])
	pad := make([]byte, int(binary.BigEndian.Uint16(n[:]))%(maxPad+1))
	rand.Read(pad)
	return pad
}

// Initiate opens an encrypted connection over nc for the torrent skey, offering some methods, and
// sends ahead with the handshake. The result's Close closes nc.
func Initiate(nc net.Conn, skey [20]byte, offer Method, ahead []byte) (*Conn, error) {
	if len(ahead) > MaxAhead {
		return nil, errLength
	}
	k := newKeys()
	if _, err := nc.Write(append(k.public[:], padding()...)); err != nil {
		return nil, err
	}
	r := bufio.NewReaderSize(nc, 1024)
	var theirs [KeyLen]byte
	if _, err := io.ReadFull(r, theirs[:]); err != nil {
		return nil, fmt.Errorf("encrypted handshake: %w", err)
	}
	s, err := k.secret(theirs[:])
	if err != nil {
		return nil, err
	}
	out, in := stream("keyA", s, skey), stream("keyB", s, skey)
	req1, name, req3 := hash("req1", s), Name(skey), hash("req3", s)
	b := append(make([]byte, 0, 64+len(ahead)), req1[:]...)
	for i := range name {
		b = append(b, name[i]^req3[i])
	}
	b = append(b, make([]byte, 8)...) // VC
	b = binary.BigEndian.AppendUint32(b, uint32(offer))
	b = binary.BigEndian.AppendUint16(b, 0) // PadC: "reserved for future extensions"
	b = binary.BigEndian.AppendUint16(b, uint16(len(ahead)))
	b = append(b, ahead...)
	out.XORKeyStream(b[40:], b[40:])
	if _, err := nc.Write(b); err != nil {
		return nil, err
	}
	var vc [8]byte
	in.XORKeyStream(vc[:], vc[:])
	if err := seek(r, vc[:]); err != nil {
		return nil, err
	}
	var answer [6]byte
	if err := readSealed(r, in, answer[:]); err != nil {
		return nil, err
	}
	if err := skip(r, in, binary.BigEndian.Uint16(answer[4:])); err != nil {
		return nil, err
	}
	m := Method(binary.BigEndian.Uint32(answer[:4]))
	if m&offer == 0 || m != RC4 && m != Plaintext {
		return nil, ErrMethod
	}
	return newConn(nc, r, m, in, out, nil), nil
}

// Accept takes an encrypted connection that somebody opened to us. find looks up the torrent by
// its [Name]. Of the methods that are offered, allow says which may be; RC4 is taken first.
func Accept(nc net.Conn, find func(name [20]byte) (skey [20]byte, ok bool), allow Method) (c *Conn, skey [20]byte, err error) {
	r := bufio.NewReaderSize(nc, 1024)
	var theirs [KeyLen]byte
	if _, err := io.ReadFull(r, theirs[:]); err != nil {
		return nil, skey, fmt.Errorf("encrypted handshake: %w", err)
	}
	k := newKeys() // only now: a stranger that sends nothing costs nothing
	s, err := k.secret(theirs[:])
	if err != nil {
		return nil, skey, err
	}
	if _, err := nc.Write(append(k.public[:], padding()...)); err != nil {
		return nil, skey, err
	}
	req1 := hash("req1", s)
	if err := seek(r, req1[:]); err != nil {
		return nil, skey, err
	}
	var name [20]byte
	if _, err := io.ReadFull(r, name[:]); err != nil {
		return nil, skey, fmt.Errorf("encrypted handshake: %w", err)
	}
	for i, x := range hash("req3", s) {
		name[i] ^= x
	}
	skey, ok := find(name)
	if !ok {
		return nil, skey, ErrUnknownKey
	}
	in, out := stream("keyA", s, skey), stream("keyB", s, skey)
	var head [14]byte // VC, provide, len(PadC)
	if err := readSealed(r, in, head[:]); err != nil {
		return nil, skey, err
	}
	if [8]byte(head[:8]) != ([8]byte{}) {
		return nil, skey, errSync
	}
	if err := skip(r, in, binary.BigEndian.Uint16(head[12:])); err != nil {
		return nil, skey, err
	}
	var n [2]byte
	if err := readSealed(r, in, n[:]); err != nil {
		return nil, skey, err
	}
	if binary.BigEndian.Uint16(n[:]) > MaxAhead {
		return nil, skey, errLength
	}
	ahead := make([]byte, binary.BigEndian.Uint16(n[:]))
	if err := readSealed(r, in, ahead); err != nil {
		return nil, skey, err
	}
	m := Method(binary.BigEndian.Uint32(head[8:])) & allow
	switch {
	case m&RC4 != 0:
		m = RC4
	case m&Plaintext != 0:
		m = Plaintext
	default:
		return nil, skey, ErrMethod
	}
	b := make([]byte, 8, 14)
	b = binary.BigEndian.AppendUint32(b, uint32(m))
	b = binary.BigEndian.AppendUint16(b, 0)
	out.XORKeyStream(b, b)
	if _, err := nc.Write(b); err != nil {
		return nil, skey, err
	}
	return newConn(nc, r, m, in, out, ahead), skey, nil
}

// seek reads until mark has been read, which may stand behind padding.
func seek(r *bufio.Reader, mark []byte) error {
	last := make([]byte, 0, maxPad+len(mark))
	for len(last) < cap(last) {
		c, err := r.ReadByte()
		if err != nil {
			return fmt.Errorf("encrypted handshake: %w", err)
		}
		if last = append(last, c); bytes.HasSuffix(last, mark) {
			return nil
		}
	}
	return errSync
}

func readSealed(r io.Reader, c *rc4.Cipher, b []byte) error {
	if _, err := io.ReadFull(r, b); err != nil {
		return fmt.Errorf("encrypted handshake: %w", err)
	}
	c.XORKeyStream(b, b)
	return nil
}

// skip reads padding.
func skip(r io.Reader, c *rc4.Cipher, n uint16) error {
	if n > maxPad {
		return errLength
	}
	var pad [maxPad]byte
	return readSealed(r, c, pad[:n])
}
