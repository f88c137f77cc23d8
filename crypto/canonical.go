package crypto

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// AppendU16 appends v in big-endian order.
func AppendU16(b []byte, v uint16) []byte { return binary.BigEndian.AppendUint16(b, v) }

// AppendU32 appends v in big-endian order.
func AppendU32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }

// AppendU64 appends v in big-endian order.
func AppendU64(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }

// AppendBytes appends the u32 length of v and v.
func AppendBytes(b, v []byte) []byte {
	return append(AppendU32(b, uint32(len(v))), v...)
}

// AppendString appends the u32 length of s and s.
func AppendString(b []byte, s string) []byte {
	return append(AppendU32(b, uint32(len(s))), s...)
}

// ErrShort says that canonical bytes end before the value does.
var ErrShort = errors.New("canonical bytes end early")

// Reader takes canonical bytes apart. The first failure sticks: read all
// fields, then ask Done once.
type Reader struct {
	b   []byte
	err error
}

// NewReader reads b without copying it.
func NewReader(b []byte) Reader { return Reader{b: b} }

func (r *Reader) take(n int) []byte {
	if r.err != nil || len(r.b) < n {
		if r.err == nil {
			r.err = fmt.Errorf("%w: %d bytes left where %d are needed", ErrShort, len(r.b), n)
		}
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

// U8 reads one byte.
func (r *Reader) U8() uint8 {
	if v := r.take(1); v != nil {
		return v[0]
	}
	return 0
}

// U16 reads a u16.
func (r *Reader) U16() uint16 {
	if v := r.take(2); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

// U32 reads a u32.
func (r *Reader) U32() uint32 {
	if v := r.take(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

// U64 reads a u64.
func (r *Reader) U64() uint64 {
	if v := r.take(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

// Bytes reads a length and that many bytes, which alias the input.
func (r *Reader) Bytes() []byte {
	n := r.U32()
	if r.err == nil && uint64(n) > uint64(len(r.b)) {
		r.err = fmt.Errorf("%w: %d bytes left where %d are needed", ErrShort, len(r.b), n)
		return nil
	}
	return r.take(int(n))
}

// Digest reads 32 bytes.
func (r *Reader) Digest() (d Digest) {
	copy(d[:], r.take(len(d)))
	return d
}

// Len is the number of bytes left.
func (r *Reader) Len() int { return len(r.b) }

// Err is the first failure so far.
func (r *Reader) Err() error { return r.err }

// Done is the first failure, or an error if bytes are left.
func (r *Reader) Done() error {
	if r.err == nil && len(r.b) > 0 {
		return fmt.Errorf("canonical bytes: %d bytes too many", len(r.b))
	}
	return r.err
}
