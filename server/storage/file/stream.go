//go:build unix

package file

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Stream writes a file from its begin to its end, past the page cache where the
// directory's method is Direct. A file that is written once and rarely read gains
// nothing from pages there, and each of them costs as much as all else about it.
// One goroutine uses it.
type Stream struct {
	f      *os.File
	direct *os.File // the same file, or nil
	buf    []byte   // what is not written as whole blocks yet; it belongs at off
	off    int64    // a multiple of Block
	tail   int      // of buf, what Flush has written
}

// streamBytes are written at once: little enough that the log beside it waits
// for the device no longer than for a write of its own.
const streamBytes = 128 << 10

// Stream opens a file that exists and is empty.
func (d *Disk) Stream(name string) (*Stream, error) {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	s := &Stream{f: f, buf: Aligned(streamBytes)[:0]}
	if method, _ := d.SyncMethod(filepath.Dir(name)); method == Direct {
		if s.direct, err = openDirect(name, false); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return s, nil
}

// Write implements io.Writer. What it takes may reach the file as late as Flush.
func (s *Stream) Write(b []byte) (n int, err error) {
	for n < len(b) {
		k := copy(s.buf[len(s.buf):cap(s.buf)], b[n:])
		s.buf = s.buf[:len(s.buf)+k]
		n += k
		if len(s.buf) == cap(s.buf) {
			if err := s.put(s.buf); err != nil {
				return n, err
			}
			s.off += int64(len(s.buf))
			s.buf, s.tail = s.buf[:0], 0
		}
	}
	return n, nil
}

// Flush writes all that was given to Write. Nothing survives a loss of power
// before the file is synced, too.
func (s *Stream) Flush() error {
	if len(s.buf) == s.tail {
		return nil
	}
	whole := len(s.buf) / Block * Block
	if err := s.put(s.buf[:whole]); err != nil {
		return err
	}
	s.off += int64(whole)
	s.buf, s.tail = s.buf[:copy(s.buf, s.buf[whole:])], 0
	if len(s.buf) == 0 {
		return nil
	}
	// Less than a block goes through the page cache. If the file grows further
	// the block is written again, as a whole.
	if _, err := s.f.WriteAt(s.buf, s.off); err != nil {
		return s.explain(err)
	}
	s.tail = len(s.buf)
	return nil
}

// put writes whole blocks at off.
func (s *Stream) put(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	f := s.direct
	if f == nil {
		f = s.f
	}
	_, err := f.WriteAt(b, s.off)
	return s.explain(err)
}

func (s *Stream) explain(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("write %s behind %d bytes: %w%s", s.f.Name(), s.off, cause(err), advice(err))
}

// Close closes the file. It does not flush.
func (s *Stream) Close() error {
	err := s.f.Close()
	if s.direct != nil {
		err = errors.Join(err, s.direct.Close())
	}
	return err
}
