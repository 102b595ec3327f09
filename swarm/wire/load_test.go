package wire

import (
	"bytes"
	"testing"
)

func FuzzLoad(f *testing.F) {
	f.Add(AppendLoad(nil, 1, Load{1 << 20, 2_500_000})[6:])
	f.Add([]byte{kindLoad, 1})
	f.Add([]byte{kindFetching, 0, 0, 0, 1, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, p []byte) {
		l, ok := ParseLoad(p)
		if ok && !bytes.HasPrefix(p, AppendLoad(nil, 1, l)[6:]) {
			t.Errorf("%x was taken for %+v", p, l)
		}
		if !ok && len(p) >= 9 && p[0] == kindLoad {
			t.Errorf("%x was not taken", p)
		}
	})
}
