package piece

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// seedTorrents gives the golden torrents to f.
func seedTorrents(f *testing.F, add func(b []byte)) {
	f.Helper()
	files, _ := filepath.Glob(goldens + "*.torrent")
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		add(b)
	}
}

// FuzzParseInfo: what is accepted has a sound geometry and safe paths, and is accepted again.
func FuzzParseInfo(f *testing.F) {
	seedTorrents(f, func(b []byte) {
		t, err := Read(bytes.NewReader(b))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(t.Bytes)
	})
	f.Fuzz(func(t *testing.T, b []byte) {
		in, err := ParseInfo(b)
		if err != nil {
			if !errors.Is(err, ErrBadTorrent) {
				t.Fatalf("%v does not wrap ErrBadTorrent", err)
			}
			return
		}
		checkGeometry(t, in)
		if !in.HasV1 && !in.HasV2 || in.NumPieces() < 1 || len(in.Files) < 1 || CheckName(in.Name) != nil {
			t.Fatalf("accepted %+v", in)
		}
		if in.HasV2 {
			for p := range min(in.NumPieces(), 1000) {
				if n := in.LeafCount(p); n < 1 || int64(n) > in.PieceLength/BlockSize {
					t.Fatalf("piece %d has %d leaves", p, n)
				}
				for _, q := range in.LeafRequests(p) {
					if err := in.checkRequest(in.FileOfPiece(p), q); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	})
}

// FuzzRead: what parses is written and reads back equal.
func FuzzRead(f *testing.F) {
	seedTorrents(f, func(b []byte) { f.Add(b) })
	f.Add([]byte("d8:announce3:abc13:announce-listll1:a1:be0:l1:cee7:comment1:x8:url-listl1:ue4:infod6:lengthi5e4:name1:n12:piece lengthi16384e6:pieces20:xxxxxxxxxxxxxxxxxxxxee"))
	f.Fuzz(func(t *testing.T, b []byte) {
		tor, err := Read(bytes.NewReader(b))
		if err != nil {
			if !errors.Is(err, ErrBadTorrent) {
				t.Fatalf("%v does not wrap ErrBadTorrent", err)
			}
			return
		}
		var w bytes.Buffer
		if err := tor.Write(&w); err != nil {
			t.Fatal(err)
		}
		first := bytes.Clone(w.Bytes())
		again, err := Read(&w)
		if err != nil {
			t.Fatalf("reading what was written: %v\n%q", err, first)
		}
		if !bytes.Equal(again.Bytes, tor.Bytes) || again.Magnet() != tor.Magnet() || again.HasLayers() != tor.HasLayers() ||
			again.Comment != tor.Comment || again.CreatedBy != tor.CreatedBy || !again.Created.Equal(tor.Created) {
			t.Fatalf("read back as %+v, want %+v", again, tor)
		}
		if second := again.encode(); !bytes.Equal(first, second) {
			t.Fatalf("written again as\n%q, want\n%q", second, first)
		}
	})
}

// FuzzHashes: an answer that is accepted holds the true nodes, whatever the request and the answer say.
func FuzzHashes(f *testing.F) {
	const n = 21
	leaves, flat := flatLeaves(n, 4)
	in, layers := treeInfo(f, 64<<10, leaves)
	f.Add(0, 0, 4, 3, []byte{}, false)
	f.Add(2, 4, 2, 1, []byte{1, 2, 3}, true)
	f.Add(0, 20, 1, 0, []byte{9}, false)
	f.Fuzz(func(t *testing.T, base, index, length, proof int, change []byte, known bool) {
		q := HashRequest{base, index, length, proof}
		answer, err := in.Hashes(1, q, bytes.NewReader(flat))
		if err != nil {
			if in.checkRequest(1, q) == nil {
				t.Fatalf("%+v fits but is refused: %v", q, err)
			}
			return
		}
		checked := in
		if !known {
			checked = bare(t, in)
		}
		for i, c := range change {
			answer[(i*7+int(c))%len(answer)][i%32] ^= c
		}
		if len(change) > 40 {
			answer = answer[:len(answer)-1]
		}
		got, err := checked.CheckHashes(1, q, answer)
		if err != nil {
			return
		}
		for i, node := range got {
			if node != layers[q.Base][q.Index+i] {
				t.Fatalf("%+v: accepted a wrong node at %d", q, i)
			}
		}
	})
}

// FuzzCheckName: an accepted name stays in its directory on every system.
func FuzzCheckName(f *testing.F) {
	for _, s := range []string{"a", "..", "nul.txt", "COM¹", "a\\b", "aux ", "con:x", "ünï", "a b", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if CheckName(s) != nil {
			return
		}
		if s == "" || s == "." || s == ".." || bytes.ContainsAny([]byte(s), "/\\\x00\n") || !filepath.IsLocal(s) || filepath.Base(s) != s || len(s) > 255 {
			t.Fatalf("accepted %q", s)
		}
	})
}
