package delta

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"shoal/piece"
)

// zeros is a source that counts what is read of it.
type zeros struct{ read *int64 }

func (z zeros) ReadAt(b []byte, _ int64) (int, error) {
	clear(b)
	*z.read += int64(len(b))
	return len(b), nil
}

func (zeros) Close() error { return nil }

// Large files of a minor release copy from all over an old one of 25 MB: with 4 MiB of pages it was read six times.
func TestPagesThatComeBackAreKept(t *testing.T) {
	for name, test := range map[string]struct {
		length, most int64 // what is read over and over, and what may be read in all
	}{
		"a few":         {512 << 10, 512 << 10},
		"more":          {8 << 20, 12 * 8 << 20},
		"more than fit": {64 << 20, 30 * 64 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			var read int64
			old := Tree{Info: &piece.Info{Files: []piece.File{{Path: []string{"old"}, Length: test.length}}, Length: test.length},
				Open: func(int) (Source, error) { return zeros{&read}, nil }}
			r := newReader(&old, newSpace(old.Info))
			defer r.close()
			b := make([]byte, 100)
			for range 30 {
				for pos := int64(0); pos < test.length; pos += pageSize {
					if err := r.read(b, pos); err != nil {
						t.Fatal(err)
					}
				}
			}
			if read > test.most {
				t.Errorf("%d bytes were read, %d at most are needed", read, test.most)
			}
			if r.bytes > mostPages {
				t.Errorf("%d bytes are kept, more than %d", r.bytes, mostPages)
			}
		})
	}
}

// TestOldFileThatIsShorter: the old version's fault is not the patch's.
func TestOldFileThatIsShorter(t *testing.T) {
	old := version(t, t.TempDir(), map[string][]byte{"program": pattern(5<<18, 1)})
	new := version(t, t.TempDir(), map[string][]byte{"program": append(pattern(5<<18, 1), "more"...)})
	patch := diff(t, old, new, Options{})
	var read int64
	old.Open = func(int) (Source, error) { return short{zeros{&read}}, nil }
	if err := Apply(ctx, old, bytes.NewReader(patch), wanted(new.Info), &memory{}); !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, ErrBadPatch) {
		t.Errorf("got %v, want %v alone", err, io.ErrUnexpectedEOF)
	}
}

// short is a source that ends at once.
type short struct{ zeros }

func (short) ReadAt([]byte, int64) (int, error) { return 0, io.EOF }
