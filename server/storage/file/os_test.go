//go:build unix

package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

var (
	_ FS   = (*Disk)(nil)
	_ File = (*osFile)(nil)
)

// eachMethod runs a test by every method that works in a temporary directory.
func eachMethod(t *testing.T, test func(t *testing.T, d *Disk, dir string)) {
	for _, m := range []Method{Plain, Direct} {
		t.Run(string(m), func(t *testing.T) {
			d, dir := osBy(m), t.TempDir()
			got, err := d.SyncMethod(dir)
			if got != m {
				t.Skip(err)
			}
			if err != nil {
				t.Fatalf("%s works, and was refused: %v", m, err)
			}
			test(t, d, dir)
		})
	}
}

func create(t *testing.T, d *Disk, name string, blocks int) File {
	t.Helper()
	f, err := d.Create(name, int64(blocks)*Block, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() }) // a test may have closed it
	return f
}

func closed(t *testing.T, c io.Closer) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// pattern is a buffer of blocks that hold seed, seed+1 and so on.
func pattern(seed, blocks int) []byte {
	b := Aligned(blocks * Block)
	for i := range b {
		b[i] = byte(seed + i/Block)
	}
	return b
}

func mustRead(t *testing.T, f File, off int64, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := f.ReadAt(got, off); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d bytes at %d differ from what was written (error %v)", len(want), off, err)
	}
}

func TestWhatIsWrittenIsReadAgain(t *testing.T) {
	eachMethod(t, func(t *testing.T, d *Disk, dir string) {
		name := filepath.Join(dir, "f")
		f := create(t, d, name, 300)
		mustRead(t, f, 0, make([]byte, 300*Block))
		for i, at := range []int64{0, 1, 299, 7, 1} {
			if err := f.WriteSync(pattern(10*i+1, 1), at*Block); err != nil {
				t.Fatal(err)
			}
		}
		big := pattern(100, 260)
		if err := f.WriteSync(big, 20*Block); err != nil {
			t.Fatal(err)
		}
		if err := f.WriteSync(big[3*Block:][:2*Block], 10*Block); err != nil {
			t.Fatalf("from within a buffer: %v", err)
		}
		closed(t, f)
		f, err := d.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer closed(t, f)
		if size, err := f.Size(); err != nil || size != 300*Block {
			t.Errorf("size %d, error %v, want %d", size, err, 300*Block)
		}
		for at, seed := range map[int64]int{0: 1, 1: 41, 299: 21, 7: 31, 2: 0} {
			want := pattern(seed, 1)
			mustRead(t, f, at*Block, want)
			mustRead(t, f, at*Block+5, want[5:77]) // reading knows no alignment
		}
		mustRead(t, f, 20*Block, big)
		mustRead(t, f, 10*Block, big[3*Block:][:2*Block])
	})
}

func TestABufferIsAligned(t *testing.T) {
	for _, size := range []int{0, 1, Block - 1, Block, Block + 1, 16*Block + 3, 1 << 20} {
		for range 20 {
			b := Aligned(size)
			if len(b) != size || cap(b)%Block != 0 || cap(b) < size || cap(b) == 0 || !isAligned(b) {
				t.Fatalf("Aligned(%d): length %d, capacity %d, aligned %v", size, len(b), cap(b), isAligned(b))
			}
			if b = b[:cap(b)]; !bytes.Equal(b, make([]byte, len(b))) {
				t.Fatalf("Aligned(%d) is not zero", size)
			}
		}
	}
}

func TestAWriteThatBreaksARuleIsRefused(t *testing.T) {
	eachMethod(t, func(t *testing.T, d *Disk, dir string) {
		f := create(t, d, filepath.Join(dir, "f"), 4)
		b := pattern(1, 6)
		for _, c := range []struct {
			b    []byte
			off  int64
			want string
		}{
			{b[:Block], 4 * Block, "the file ends at 16384"},
			{b[:2*Block], 3 * Block, "the file ends at 16384"},
			{b, 0, "the file ends at 16384"},
			{b[:Block], -Block, "the file ends at"},
			{b[:Block], 1<<63 - Block, "the file ends at"},
			{b[:Block], 1, "multiples of 4096"},
			{b[:Block-1], 0, "multiples of 4096"},
			{b[8:][:Block], 0, "take it from Aligned"},
		} {
			err := f.WriteSync(c.b, c.off)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%d bytes at %d: error %v, want %q", len(c.b), c.off, err, c.want)
			}
		}
		mustRead(t, f, 0, make([]byte, 4*Block))
		if err := f.WriteSync(b[:4*Block], 0); err != nil {
			t.Errorf("a write after refused ones: %v", err)
		}
		if err := f.WriteSync(nil, 0); err != nil {
			t.Errorf("a write of nothing: %v", err)
		}
	})
}

func TestAClosedFileTakesNoWrite(t *testing.T) {
	eachMethod(t, func(t *testing.T, d *Disk, dir string) {
		f := create(t, d, filepath.Join(dir, "f"), 1)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if err := f.WriteSync(pattern(1, 1), 0); !errors.Is(err, os.ErrClosed) {
			t.Errorf("write: %v", err)
		}
		if _, err := f.ReadAt(make([]byte, 1), 0); !errors.Is(err, os.ErrClosed) {
			t.Errorf("read: %v", err)
		}
		if err := f.Close(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("close: %v", err)
		}
	})
}

// /dev/full says that the device is full to whoever writes.
func TestAWriteThatFailedIsTheLast(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	defer closed(t, full)
	zero, err := os.OpenFile("/dev/zero", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	defer closed(t, zero)
	for m, o := range map[Method]*osFile{Plain: {f: full}, Direct: {f: full, direct: full}} {
		o.disk, o.size = osBy(m), 8*Block
		err := o.WriteSync(pattern(1, 2), Block)
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "write 8192 bytes at 4096 of /dev/full: no space left on device: free space") {
			t.Errorf("%s: %v", m, err)
		}
		o.f, o.direct = zero, nil // which would take all
		if err := o.WriteSync(pattern(1, 1), 0); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "after a write that failed") {
			t.Errorf("%s, again: %v", m, err)
		}
	}
}

func TestManyWriteAtOnce(t *testing.T) {
	eachMethod(t, func(t *testing.T, d *Disk, dir string) {
		const writers, blocks, writes = 12, 8, 10
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				f, err := d.Create(filepath.Join(dir, fmt.Sprint(w)), blocks*Block, nil)
				if err != nil {
					t.Error(err)
					return
				}
				defer closed(t, f)
				b, got := Aligned(2*Block), make([]byte, 2*Block)
				for i := range writes {
					for j := range b {
						b[j] = byte(w*writes + i)
					}
					off := int64(i%(blocks-1)) * Block
					if err := f.WriteSync(b, off); err != nil {
						t.Error(err)
					}
					if _, err := f.ReadAt(got, off); err != nil || !bytes.Equal(got, b) {
						t.Errorf("writer %d: write %d reads differently, error %v", w, i, err)
					}
				}
			})
		}
		wg.Wait()
	})
}

func TestCreateMakesWholeNewFilesOnly(t *testing.T) {
	eachMethod(t, func(t *testing.T, d *Disk, dir string) {
		name := filepath.Join(dir, "f")
		f := create(t, d, name, 600) // more than one write of zeros
		mustRead(t, f, 0, make([]byte, 600*Block))
		if err := f.WriteSync(pattern(5, 1), 0); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Create(name, Block, nil); !errors.Is(err, fs.ErrExist) {
			t.Errorf("over a file: %v", err)
		}
		mustRead(t, f, 0, pattern(5, 1))
		for _, size := range []int64{-Block, Block + 1} {
			if _, err := d.Create(name+"2", size, nil); err == nil || !strings.Contains(err.Error(), "multiple of 4096") {
				t.Errorf("size %d: %v", size, err)
			}
		}
		create(t, d, name+"3", 0)
		if names, err := d.List(dir); err != nil || !slices.Equal(names, []string{"f", "f3"}) {
			t.Errorf("files %q, error %v", names, err)
		}
	})
}

func TestAMethodThatDoesNotWorkIsReplaced(t *testing.T) {
	d := OS()
	missing := filepath.Join(t.TempDir(), "missing")
	m, err := d.SyncMethod(missing)
	if m != Plain || err == nil {
		t.Fatalf("in a directory that is not there: %s, error %v", m, err)
	}
	if want := "direct does not work in " + missing; !strings.Contains(err.Error(), want) {
		t.Errorf("the reason %q lacks %q", err, want)
	}
	if m, err := osBy(Plain).SyncMethod(missing); m != Plain || err != nil {
		t.Errorf("by choice: %s, error %v", m, err)
	}
}
