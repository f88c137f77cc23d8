package wal

import (
	"errors"
	"fmt"
	"io"

	"github.com/pbft-go/pbft/server/storage/file"
)

// reader reads one file, in pieces of a size that suits a device.
type reader struct {
	f    file.File
	name string
	size int64
	buf  []byte
	at   int64 // what buf holds begins here
}

const readSize = 1 << 20

func (r *reader) open(fs file.FS, name string) error {
	r.close()
	f, err := fs.Open(name)
	if err != nil {
		return err
	}
	r.f, r.name, r.buf = f, name, r.buf[:0]
	r.size, err = f.Size()
	return err
}

func (r *reader) close() {
	if r.f != nil {
		_ = r.f.Close() // it was only read
		r.f = nil
	}
}

// read gives n bytes at off, which must lie within the file. They are good until
// the next call.
func (r *reader) read(off int64, n int) ([]byte, error) {
	if from := off - r.at; from >= 0 && from+int64(n) <= int64(len(r.buf)) {
		return r.buf[from:][:n], nil
	}
	size := max(n, int(min(readSize, r.size-off)))
	if size > cap(r.buf) {
		r.buf = file.Aligned(size)
	}
	r.buf, r.at = r.buf[:size], off
	got, err := r.f.ReadAt(r.buf, off)
	if got == size {
		return r.buf[:n], nil
	}
	r.buf = r.buf[:0]
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return nil, fmt.Errorf("read %d bytes at %d of %s: %w", size, off, r.name, err)
}
