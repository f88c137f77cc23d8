//go:build unix

package file

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestAStreamWritesAllInOrder(t *testing.T) {
	eachMethod(t, func(t *testing.T, d *Disk, dir string) {
		rnd := rand.New(rand.NewPCG(1, 2))
		for _, sizes := range [][]int{{0}, {1}, {Block}, {streamBytes}, {streamBytes + 1}, {5, Block, 3 * streamBytes, 7}, {Block - 1, 1, streamBytes - Block, 100}} {
			name := filepath.Join(dir, "f")
			if err := os.WriteFile(name, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := d.Stream(name)
			if err != nil {
				t.Fatal(err)
			}
			var want []byte
			for _, size := range sizes { // flushed now and then: the rest of a block is written again
				b := make([]byte, size)
				for i := range b {
					b[i] = byte(rnd.Uint32())
				}
				if n, err := s.Write(b); n != size || err != nil {
					t.Fatalf("write of %d: %d, %v", size, n, err)
				}
				if want = append(want, b...); rnd.IntN(2) == 0 {
					if err := s.Flush(); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := s.Flush(); err != nil {
				t.Fatal(err)
			}
			closed(t, s)
			if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%v: %d bytes of %d, or other ones; %v", sizes, len(got), len(want), err)
			}
		}
	})
}

func TestAStreamTellsOfAFullDevice(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	s := &Stream{f: full, buf: Aligned(streamBytes)[:0]}
	defer closed(t, s)
	if n, err := s.Write(make([]byte, streamBytes)); n != streamBytes || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "/dev/full behind 0 bytes: no space left on device: free space") {
		t.Errorf("%d, %v", n, err)
	}
	s.buf = s.buf[:10]
	if err := s.Flush(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("flush: %v", err)
	}
}
