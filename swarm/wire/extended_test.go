package wire

import (
	"bytes"
	"maps"
	"net/netip"
	"strings"
	"testing"
)

// payload takes the one message in b apart and returns what follows its extension id.
func payload(t *testing.T, b []byte) (id byte, p []byte) {
	t.Helper()
	r := NewReader(bytes.NewReader(b))
	var m Message
	if err := r.Next(&m); err != nil || m.Type != Extended {
		t.Fatalf("message = %+v, %v, want an extended one", m, err)
	}
	return m.ExtID, m.Payload
}

func TestExtHandshake(t *testing.T) {
	h := ExtHandshake{
		M: map[string]int{NameMetadata: 1, NameShoal: 2}, Client: "Shoal 1", Reqq: 500, MetadataSize: 12345, Port: 6881,
		YourIP: "\x7f\x00\x00\x01", UploadOnly: 1, Encrypt: 1, Shoal: &Shoal{Role: "edge", Site: "lab", Up: 2500000, Nonce: "0123456789abcdef"},
	}
	b, err := h.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	id, p := payload(t, b)
	got, err := ParseExtHandshake(p)
	if err != nil || id != IDHandshake {
		t.Fatalf("id %d, %v", id, err)
	}
	sameHandshake(t, got, h)
	if ip, ok := got.IP(); !ok || ip != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("yourip = %v, %v", ip, ok)
	}
}

func sameHandshake(t *testing.T, got, want ExtHandshake) {
	t.Helper()
	if !maps.Equal(got.M, want.M) || (got.Shoal == nil) != (want.Shoal == nil) || got.Shoal != nil && *got.Shoal != *want.Shoal {
		t.Errorf("handshake %+v %+v, want %+v %+v", got, got.Shoal, want, want.Shoal)
	}
	got.M, got.Shoal, want.M, want.Shoal = nil, nil, nil, nil
	if got.Client != want.Client || got.Reqq != want.Reqq || got.MetadataSize != want.MetadataSize || got.Port != want.Port ||
		got.YourIP != want.YourIP || got.UploadOnly != want.UploadOnly || got.Encrypt != want.Encrypt {
		t.Errorf("handshake %+v, want %+v", got, want)
	}
}

// One odd key must not hide the others, and no value may come out of its range.
func TestOddExtHandshakes(t *testing.T) {
	for in, want := range map[string]ExtHandshake{
		"de":                                                  {},
		"d1:md11:ut_metadatai3eee":                            {M: map[string]int{NameMetadata: 3}},
		"d1:mi5e1:v3:abce":                                    {Client: "abc"},
		"d1:md11:ut_metadatai300e5:shoali-1eee":               {},
		"d13:metadata_sizei99999999999e1:pi80ee":              {Port: 80},
		"d1:pi70000e4:reqqi-5e1:v2:oke":                       {Client: "ok"},
		"d1:v200:" + strings.Repeat("x", 200) + "e":           {},
		"d5:shoald4:role4:edgeee":                             {Shoal: &Shoal{Role: "edge"}},
		"d5:shoald4:site65:" + strings.Repeat("x", 65) + "ee": {},
		"d5:shoal4:edgee":                                     {},
		"d5:shoald5:nonce3:abcee":                             {Shoal: &Shoal{}},
		"d6:yourip5:abcdee":                                   {YourIP: "abcde"},
	} {
		got, err := ParseExtHandshake([]byte(in))
		if err != nil {
			t.Errorf("%.40s: %v", in, err)
		}
		t.Run(in[:min(len(in), 30)], func(t *testing.T) { sameHandshake(t, got, want) })
	}
	for _, in := range []string{"", "x", "le", "i5e", "d1:m", "d3:abc", "d1:vi5e"} {
		if h, err := ParseExtHandshake([]byte(in)); err == nil {
			t.Errorf("%q was read as %+v", in, h)
		}
	}
}

func FuzzExtHandshake(f *testing.F) {
	b, _ := ExtHandshake{M: map[string]int{NameMetadata: 1}, Client: "x", Port: 1, Shoal: &Shoal{Role: "peer"}}.Append(nil)
	f.Add(b[6:])
	f.Add([]byte("d1:md11:ut_metadatai3ee13:metadata_sizei31235e4:reqqi255e1:v17:Transmission 3.00e"))
	f.Add([]byte("d1:mde1:pi6881e6:yourip4:abcde"))
	f.Fuzz(func(t *testing.T, p []byte) {
		h, err := ParseExtHandshake(p)
		if err != nil {
			return
		}
		if h.MetadataSize < 0 || h.MetadataSize > MaxMetadata || h.Port < 0 || h.Port > 65535 || h.Reqq < 0 || len(h.Client) > 128 ||
			len(h.YourIP) > 16 || len(h.M) > 4 || h.Shoal != nil && (len(h.Shoal.Site) > maxSite || h.Shoal.Up < 0) {
			t.Fatalf("%q was read as %+v", p, h)
		}
		b, err := h.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		_, p = payload(t, b)
		again, err := ParseExtHandshake(p)
		if err != nil {
			t.Fatalf("our own handshake %q: %v", p, err)
		}
		sameHandshake(t, again, h)
	})
}

func TestMetadata(t *testing.T) {
	for _, m := range []Metadata{
		{Kind: MetadataRequest, Piece: 3},
		{Kind: MetadataReject, Piece: 0},
		{Kind: MetadataData, Piece: 1, Total: 20000, Data: []byte("d4:name5:shoale")},
	} {
		id, p := payload(t, m.Append(nil, 1))
		got, err := ParseMetadata(p)
		if err != nil || id != 1 || got.Kind != m.Kind || got.Piece != m.Piece || got.Total != m.Total || !bytes.Equal(got.Data, m.Data) {
			t.Errorf("id %d, %+v, %v, want %+v", id, got, err, m)
		}
	}
	for _, in := range []string{
		"", "x", "i1e", "d8:msg_typei0e5:piecei-1ee", "d8:msg_typei0e5:piecei99999999ee", "d8:msg_typei0e5:piece1:xe",
		"d8:msg_typei1e5:piecei0ee" + strings.Repeat("x", MetadataPiece+1),
	} {
		if m, err := ParseMetadata([]byte(in)); err == nil {
			t.Errorf("%.40q was read as kind %d, piece %d", in, m.Kind, m.Piece)
		}
	}
}

func FuzzMetadata(f *testing.F) {
	for _, m := range []Metadata{{Kind: 0, Piece: 3}, {Kind: 1, Piece: 0, Total: 5, Data: []byte("hello")}, {Kind: 2}} {
		f.Add(m.Append(nil, 1)[6:])
	}
	f.Add([]byte("d8:msg_typei1e5:piecei0e10:total_sizei34256ee"))
	f.Fuzz(func(t *testing.T, p []byte) {
		m, err := ParseMetadata(p)
		if err != nil {
			return
		}
		if m.Piece < 0 || m.Piece > MaxMetadata/MetadataPiece || len(m.Data) > MetadataPiece || !bytes.HasSuffix(p, m.Data) {
			t.Fatalf("%q was read as %+v", p, m)
		}
		again, err := ParseMetadata(m.Append(nil, 1)[6:])
		if err != nil || again.Kind != m.Kind || again.Piece != m.Piece || again.Total != m.Total || !bytes.Equal(again.Data, m.Data) {
			t.Fatalf("%+v became %+v, %v", m, again, err)
		}
	})
}

func TestNotes(t *testing.T) {
	id, p := payload(t, AppendNote(nil, IDShoal, []byte("note")))
	if note, ok := ParseNote(p); id != IDShoal || !ok || string(note) != "note" {
		t.Errorf("got %q, %v in a message of id %d", note, ok, id)
	}
	for name, p := range map[string][]byte{"empty": nil, "of another kind": {kindFetching, 1}, "without bytes": {kindNote}, "too long": append([]byte{kindNote}, make([]byte, MaxNote+1)...)} {
		if note, ok := ParseNote(p); ok {
			t.Errorf("a note %s is read as %q", name, note)
		}
	}
	if _, ok, err := ParseShoal(append([]byte{kindNote}, "note"...)); ok || err != nil {
		t.Errorf("a note read as another message: %v, %v", ok, err)
	}
}

func TestShoalMessages(t *testing.T) {
	id, p := payload(t, AppendFetching(nil, IDShoal, 70000))
	if piece, ok, err := ParseShoal(p); id != IDShoal || piece != 70000 || !ok || err != nil {
		t.Errorf("id %d, piece %d, %v, %v", id, piece, ok, err)
	}
	if _, ok, err := ParseShoal([]byte{200, 1}); ok || err != nil {
		t.Errorf("a later version's message = %v, %v, want to be left alone", ok, err)
	}
	for _, bad := range [][]byte{nil, {1}, {1, 0, 0, 0}} {
		if _, ok, err := ParseShoal(bad); ok || err == nil {
			t.Errorf("%v was read", bad)
		}
	}
}

// Each message of our own is read as what it is and as nothing else: two kinds with one number would take each other's place.
func TestShoalMessagesAreToldApart(t *testing.T) {
	read := map[string]func(p []byte) bool{
		"fetching": func(p []byte) bool { _, ok, _ := ParseShoal(p); return ok },
		"proof":    func(p []byte) bool { _, ok := ParseProof(p); return ok },
		"load":     func(p []byte) bool { _, ok := ParseLoad(p); return ok },
		"note":     func(p []byte) bool { _, ok := ParseNote(p); return ok },
		"open":     IsOpen,
	}
	long := bytes.Repeat([]byte{7}, 64) // what is behind is a later version's
	for written, b := range map[string][]byte{
		"fetching": AppendFetching(nil, IDShoal, 1), "proof": AppendProof(nil, IDShoal, Proof{1}), "load": AppendLoad(nil, IDShoal, Load{1, 2}),
		"note": AppendNote(nil, IDShoal, long), "open": AppendOpen(nil, IDShoal),
	} {
		_, p := payload(t, b)
		for as, ok := range read {
			if got := ok(append(p, long...)); got != (as == written) {
				t.Errorf("a message %q is read as %q: %v", written, as, got)
			}
		}
	}
}

func FuzzShoal(f *testing.F) {
	f.Add(AppendFetching(nil, 1, 5)[6:])
	f.Add(AppendProof(nil, 1, Proof{1})[6:])
	f.Add(AppendDontHave(nil, 1, 7)[6:])
	f.Fuzz(func(t *testing.T, p []byte) {
		piece, ok, err := ParseShoal(p)
		if ok && (err != nil || !bytes.HasPrefix(p, AppendFetching(nil, 1, piece)[6:])) {
			t.Fatalf("%x was read as piece %d, %v", p, piece, err)
		}
		if proof, is := ParseProof(p); is && (ok || !bytes.HasPrefix(p, AppendProof(nil, 1, proof)[6:])) {
			t.Fatalf("%x was read as proof %x", p, proof)
		}
		if piece, err := ParseDontHave(p); err == nil && !bytes.Equal(p, AppendDontHave(nil, 1, piece)[6:]) {
			t.Fatalf("%x was read as the end of piece %d", p, piece)
		}
	})
}

func TestDontHave(t *testing.T) {
	id, p := payload(t, AppendDontHave(nil, IDDontHave, 70000))
	if piece, err := ParseDontHave(p); id != IDDontHave || piece != 70000 || err != nil {
		t.Errorf("id %d, piece %d, %v", id, piece, err)
	}
	for _, bad := range [][]byte{nil, {1, 2, 3}, {1, 2, 3, 4, 5}} {
		if _, err := ParseDontHave(bad); err == nil {
			t.Errorf("%v was read", bad)
		}
	}
}

// A proof holds for one key, site, pair of nodes, direction and connection.
func TestProof(t *testing.T) {
	a, b := [20]byte{1}, [20]byte{2}
	x, y := [NonceLen]byte{3}, [NonceLen]byte{4}
	proof := NewProof([]byte("key"), "lab", a, b, x, y)
	id, p := payload(t, AppendProof(nil, IDShoal, proof))
	if got, ok := ParseProof(p); id != IDShoal || !ok || !got.Equal(proof) {
		t.Errorf("id %d, %x, %v", id, got, ok)
	}
	for name, other := range map[string]Proof{
		"key":        NewProof([]byte("yek"), "lab", a, b, x, y),
		"site":       NewProof([]byte("key"), "bal", a, b, x, y),
		"direction":  NewProof([]byte("key"), "lab", b, a, y, x),
		"reflection": NewProof([]byte("key"), "lab", b, a, x, y),
		"prover":     NewProof([]byte("key"), "lab", [20]byte{9}, b, x, y),
		"connection": NewProof([]byte("key"), "lab", a, b, x, [NonceLen]byte{9}),
	} {
		if proof.Equal(other) {
			t.Errorf("a proof for another %s is the same", name)
		}
	}
	if _, ok := ParseProof(p[:32]); ok {
		t.Error("half a proof was read")
	}
	if _, ok, err := ParseShoal(p); ok || err != nil {
		t.Errorf("a proof as a piece: %v, %v", ok, err)
	}
}
