package piece

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
)

// naiveTree is all layers of a padded tree over leaves, from the leaves to the root.
func naiveTree(leaves []Hash32) [][]Hash32 {
	for n := len(leaves); n&(n-1) != 0; n++ {
		leaves = append(leaves, Hash32{})
	}
	layers := [][]Hash32{leaves}
	for len(leaves) > 1 {
		var up []Hash32
		for i := 0; i < len(leaves); i += 2 {
			up = append(up, sha256.Sum256(append(append([]byte{}, leaves[i][:]...), leaves[i+1][:]...)))
		}
		layers, leaves = append(layers, up), up
	}
	return layers
}

// flatLeaves are n leaves, as hashes and as the flat file that holds them behind skip others.
func flatLeaves(n, skip int) ([]Hash32, []byte) {
	leaves, flat := make([]Hash32, n), make([]byte, skip*32)
	for i := range leaves {
		leaves[i] = sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
		flat = append(flat, leaves[i][:]...)
	}
	return leaves, flat
}

// treeInfo is a v2 torrent of two files: one of a single leaf, then one with the given leaves. The piece layer is set, if there is one.
func treeInfo(t testing.TB, pieceLength int64, leaves []Hash32) (in *Info, layers [][]Hash32) {
	t.Helper()
	layers = naiveTree(bytesClone(leaves))
	root := layers[len(layers)-1][0]
	file := func(b []byte, name string, length int64, root Hash32) []byte {
		b = append(appendString(b, name), "d0:d6:length"...)
		b = append(appendInt(b, length), "11:pieces root"...)
		return append(appendString(b, root[:]), "ee"...)
	}
	b := []byte("d9:file treed")
	b = file(b, "a", 1, Hash32{1})
	b = file(b, "b", int64(len(leaves))*BlockSize-5, root)
	b = append(b, "e12:meta versioni2e4:name1:n12:piece length"...)
	b = append(appendInt(b, pieceLength), 'e')
	in, err := ParseInfo(b)
	if err != nil {
		t.Fatal(err)
	}
	if in.needsLayer(1) {
		var layer []byte
		first, end := in.FilePieces(1)
		for _, h := range layers[in.pieceHeight()][:end-first] {
			layer = append(layer, h[:]...)
		}
		if err := in.SetLayer(1, layer); err != nil {
			t.Fatal(err)
		}
	}
	return in, layers
}

func bytesClone(h []Hash32) []Hash32 { return append([]Hash32(nil), h...) }

// TestHashesOfSmallTrees asks every question that can be asked of small trees.
func TestHashesOfSmallTrees(t *testing.T) {
	for _, pieceLength := range []int64{16 << 10, 64 << 10} {
		for n := 2; n <= 21; n++ {
			leaves, flat := flatLeaves(n, int(pieceLength/BlockSize))
			in, layers := treeInfo(t, pieceLength, leaves)
			height := len(layers) - 1
			asked := 0
			for base := range height {
				for length := 1; length <= len(layers[base]); length *= 2 {
					for index := 0; index < len(layers[base]); index += length {
						for proof := range height - base {
							q := HashRequest{base, index, length, proof}
							name := fmt.Sprintf("%d leaves of %d: %+v", n, pieceLength, q)
							got, err := in.Hashes(1, q, bytes.NewReader(flat))
							if err != nil {
								t.Fatalf("%s: %v", name, err)
							}
							checkAnswer(t, name, q, got, layers)
							checkProof(t, name, in, q, got, layers, n)
							asked++
						}
					}
				}
			}
			if asked == 0 {
				t.Errorf("%d leaves: nothing was asked", n)
			}
		}
	}
}

// checkAnswer compares an answer with the naive tree.
func checkAnswer(t *testing.T, name string, q HashRequest, got []Hash32, layers [][]Hash32) {
	t.Helper()
	want := bytesClone(layers[q.Base][q.Index : q.Index+q.Length])
	// As libtorrent answers: the base, then the sibling of each ancestor up to the proof layer, but for those the base gives.
	baseLayers := -1
	for l := q.Length; l > 1; l /= 2 {
		baseLayers++
	}
	at := q.Index
	for i := -1; i < q.Proof; i++ {
		if i >= 0 {
			at /= 2
		}
		if i >= baseLayers {
			want = append(want, layers[q.Base+1+i][at^1])
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("%s: got %d hashes, want %d, or they differ", name, len(got), len(want))
	}
}

func checkProof(t *testing.T, name string, in *Info, q HashRequest, answer []Hash32, layers [][]Hash32, n int) {
	t.Helper()
	real, err := in.CheckHashes(1, q, answer)
	top := q.top()
	behind := q.Index<<q.Base>>top<<top >= n // padding proves itself
	if top < len(layers)-1 && (top < in.pieceHeight() || !in.needsLayer(1)) && !behind {
		if err == nil {
			t.Fatalf("%s: accepted, though nothing proves it", name)
		}
		return
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if want := min(max((n+1<<q.Base-1)>>q.Base-q.Index, 0), q.Length); len(real) != want {
		t.Fatalf("%s: %d hashes, want %d", name, len(real), want)
	}
	bad := bytesClone(answer)
	bad[len(bad)/2][3] ^= 1
	if _, err := in.CheckHashes(1, q, bad); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("%s: a changed hash gives %v, want ErrCorrupt", name, err)
	}
	if _, err := in.CheckHashes(1, q, answer[:len(answer)-1]); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("%s: a hash less gives %v, want ErrCorrupt", name, err)
	}
}

// TestHashesAreFetched asks as a machine does that has only the info: first the layers, then the leaves.
func TestHashesAreFetched(t *testing.T) {
	for _, c := range []struct {
		pieceLength int64
		n           int
	}{{16 << 10, 1500}, {32 << 10, 3}, {32 << 10, 2}, {32 << 10, 1}, {64 << 10, 6000}, {16 << 20, 2500}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			leaves, flat := flatLeaves(c.n, int(c.pieceLength/BlockSize))
			in, layers := treeInfo(t, c.pieceLength, leaves)
			bare, err := ParseInfo(in.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			fetchPiece(t, in, bare, 1, flat, leaves) // without the layer, by the file's root
			var layer []byte
			for _, q := range bare.LayerRequests(1) {
				answer, err := in.Hashes(1, q, nil)
				if err != nil {
					t.Fatal(err)
				}
				got, err := bare.CheckHashes(1, q, answer)
				if err != nil {
					t.Fatal(err)
				}
				for _, h := range got {
					layer = append(layer, h[:]...)
				}
			}
			if len(bare.LayerRequests(1)) > 0 {
				if err := bare.SetLayer(1, layer); err != nil {
					t.Fatal(err)
				}
			}
			if !bare.HasLayers() || !bytes.Equal(bare.Layer(1), in.Layer(1)) {
				t.Fatal("the layer that was fetched differs")
			}
			for p := 1; p < bare.NumPieces(); p += 1 + bare.NumPieces()/20 {
				fetchPiece(t, in, bare, p, flat, leaves)
			}
			if root := layers[len(layers)-1][0]; bare.Files[1].Root != root {
				t.Errorf("root %x, want %x", bare.Files[1].Root, root)
			}
		})
	}
}

// fetchPiece fetches the leaves of piece p from in, and checks them by what bare knows.
func fetchPiece(t *testing.T, in, bare *Info, p int, flat []byte, leaves []Hash32) {
	t.Helper()
	var got []Hash32
	for _, q := range bare.LeafRequests(p) {
		if q.Length > askHashes {
			t.Errorf("asks for %d hashes at once", q.Length)
		}
		answer, err := in.Hashes(1, q, bytes.NewReader(flat))
		if err != nil {
			t.Fatal(err)
		}
		part, err := bare.CheckHashes(1, q, answer)
		if err != nil {
			t.Fatalf("piece %d, %+v: %v", p, q, err)
		}
		got = append(got, part...)
	}
	first, _ := in.FilePieces(1)
	want := leaves[(p-first)*int(in.PieceLength/BlockSize):]
	want = want[:in.LeafCount(p)]
	if len(bare.LeafRequests(p)) == 0 {
		got = want // a leaf that is its piece's root
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("piece %d: %d leaves, want %d, or they differ", p, len(got), len(want))
	}
	if _, ok := bare.PieceRoot(p); ok && !bare.CheckLeaves(p, got) {
		t.Fatalf("piece %d: leaves do not check", p)
	}
	if !in.CheckLeaves(p, got) {
		t.Fatalf("piece %d: leaves are wrong", p)
	}
}

func TestHashesRefuse(t *testing.T) {
	leaves, flat := flatLeaves(13, 4)
	in, _ := treeInfo(t, 64<<10, leaves)
	for _, q := range []HashRequest{{}, {Length: 3}, {Length: 32}, {Length: 1 << 62}, {Length: 2, Index: 1}, {Length: 2, Index: 16}, {Length: 2, Index: -2}, {Base: -1, Length: 2},
		{Base: 4, Length: 1}, {Base: 5, Length: 2}, {Base: 1 << 40, Length: 2}, {Length: 2, Proof: 4}, {Length: 2, Proof: -1}, {Length: 2, Index: 1<<62 - 2}} {
		if _, err := in.Hashes(1, q, bytes.NewReader(flat)); err == nil {
			t.Errorf("%+v was answered", q)
		}
		if _, err := in.CheckHashes(1, q, nil); err == nil {
			t.Errorf("an answer to %+v was accepted", q)
		}
	}
	if _, err := in.Hashes(0, HashRequest{Length: 1}, bytes.NewReader(flat)); err == nil {
		t.Error("a file of one leaf has no hashes to give")
	}
	if _, err := in.Hashes(1, HashRequest{Length: 2}, nil); err == nil {
		t.Error("answered leaves without having any")
	}
	if _, err := in.Hashes(1, HashRequest{Length: 2}, bytes.NewReader(flat[:4*32])); err == nil {
		t.Error("answered leaves from a short file")
	}
	flat[4*32+7] ^= 1
	if _, err := in.Hashes(1, HashRequest{Length: 2}, bytes.NewReader(flat)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a corrupt leaf gives %v, want ErrCorrupt", err)
	}
}

func TestSetLayerServesTwins(t *testing.T) {
	tor, err := ReadFile(goldens + "libtorrent-hybrid-tree.torrent")
	if err != nil {
		t.Fatal(err)
	}
	in, err := ParseInfo(tor.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if in.HasLayers() {
		t.Fatal("layers are known before they were set")
	}
	for i := range in.Files {
		if layer := tor.Layer(i); layer != nil {
			if j, ok := in.FileByRoot(in.Files[i].Root); !ok || in.Files[j].Root != in.Files[i].Root {
				t.Errorf("file by root = %d, %v, want one like %d", j, ok, i)
			}
			if in.Layer(i) != nil {
				continue // its twin brought it
			}
			if err := in.SetLayer(i, layer[:len(layer)-32]); !errors.Is(err, ErrCorrupt) {
				t.Errorf("a short layer gives %v, want ErrCorrupt", err)
			}
			if err := in.SetLayer(i, append(layer[32:len(layer):len(layer)], layer[:32]...)); !errors.Is(err, ErrCorrupt) {
				t.Errorf("a layer out of order gives %v, want ErrCorrupt", err)
			}
			if err := in.SetLayer(i, layer); err != nil {
				t.Error(err)
			}
		}
	}
	if !in.HasLayers() {
		t.Error("layers are missing")
	}
	if _, ok := in.FileByRoot(Hash32{1}); ok {
		t.Error("found a file by a root that none has")
	}
}

func TestAppendLeaves(t *testing.T) {
	data := pattern(5*BlockSize+7, 1)
	for _, n := range []int{0, 1, BlockSize, BlockSize + 1, 2 * BlockSize, 3 * BlockSize, len(data)} {
		var want []Hash32
		for at := 0; at < n; at += BlockSize {
			want = append(want, sha256.Sum256(data[at:min(n, at+BlockSize)]))
		}
		if got := AppendLeaves(nil, data[:n]); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%d bytes: got %x, want %x", n, got, want)
		}
	}
}
