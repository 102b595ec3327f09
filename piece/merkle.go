package piece

import (
	"bytes"
	"crypto/sha256"
	"math/bits"

	"shoal/piece/internal/lanes"
)

func compare32(a, b *Hash32) int { return bytes.Compare(a[:], b[:]) }

// maxHeight is more than any tree of ours has: maxSpace bytes have 2³⁵ leaves.
const maxHeight = 40

// padHash[h] is the root of a tree of height h whose leaves are all absent, which is to say zero (BEP 52).
var padHash = func() (pad [maxHeight + 1]Hash32) {
	for h := range maxHeight {
		pad[h+1] = parent(&pad[h], &pad[h])
	}
	return pad
}()

func parent(left, right *Hash32) Hash32 {
	var b [64]byte
	copy(b[:32], left[:])
	copy(b[32:], right[:])
	return sha256.Sum256(b[:])
}

// A merkle computes a root in constant memory. Nodes are added from left to right.
type merkle struct {
	n     uint64
	stack [maxHeight + 1]Hash32 // stack[h] waits for its sibling if bit h of n is set
}

func (m *merkle) add(node Hash32) {
	h := 0
	for ; m.n>>h&1 == 1; h++ {
		node = parent(&m.stack[h], &node)
	}
	m.stack[h] = node
	m.n++
}

// root is the root of a tree of the given height over the nodes added, of which there is at least one and at most 2^height. The nodes are of layer
// base, which decides with what the absent ones are padded.
func (m *merkle) root(height, base int) Hash32 {
	h := bits.TrailingZeros64(m.n)
	node := m.stack[h]
	for ; h < height; h++ {
		// Bit h of n belongs to node itself or to what is left of it.
		if h > bits.TrailingZeros64(m.n) && m.n>>h&1 == 1 {
			node = parent(&m.stack[h], &node)
		} else {
			node = parent(&node, &padHash[base+h])
		}
	}
	return node
}

// rootOf is the root over nodes of layer base, padded to height.
func rootOf(nodes []Hash32, height, base int) Hash32 {
	var m merkle
	for i := range nodes {
		m.add(nodes[i])
	}
	return m.root(height, base)
}

// FileRoot is the root of a whole file that is in memory (BEP 52, "pieces root"). Data is not empty: empty files have none.
func FileRoot(data []byte) Hash32 {
	leaves := AppendLeaves(make([]Hash32, 0, leavesIn(int64(len(data)))), data)
	return rootOf(leaves, heightFor(int64(len(leaves))), 0)
}

// layerRoot is the root over a whole layer, 32 bytes for each node.
func layerRoot(layer []byte, base int) Hash32 {
	var m merkle
	for at := 0; at < len(layer); at += 32 {
		m.add(Hash32(layer[at:]))
	}
	return m.root(heightFor(int64(len(layer)/32)), base)
}

// AppendLeaves appends the hashes of data's blocks (BEP 52, the leaves of a file's tree). It is quicker than one block after another.
func AppendLeaves(leaves []Hash32, data []byte) []Hash32 {
	for len(data) >= 2*BlockSize {
		x, y := lanes.Leaves((*[BlockSize]byte)(data), (*[BlockSize]byte)(data[BlockSize:]))
		leaves, data = append(leaves, x, y), data[2*BlockSize:]
	}
	for len(data) > 0 {
		n := min(len(data), BlockSize)
		leaves, data = append(leaves, sha256.Sum256(data[:n])), data[n:]
	}
	return leaves
}

// heightFor is the least height of a tree with n leaves.
func heightFor(n int64) int { return bits.Len64(uint64(n - 1)) }

func leavesIn(n int64) int64 { return (n + BlockSize - 1) / BlockSize }
