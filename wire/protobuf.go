package wire

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// A key is a field's number and wire type as they stand in front of its value.
// A known field under an unexpected type counts as unknown and is skipped, as
// in generated code.
const (
	varint  = 0
	fixed64 = 1
	packed  = 2
)

// fields walks the fields of one message. The first failure ends the walk and
// sticks. Positions instead of slices spare the collector's write barriers.
type fields struct {
	b    []byte
	pos  int    // behind the present field
	from int    // where the value of a length-delimited field starts
	key  int    // number<<3 | wire type
	num  uint64 // value of a varint or fixed64 field
	err  error
}

// next moves to the next field and reports whether there is one.
func (f *fields) next() bool {
	if f.pos == len(f.b) || f.err != nil {
		return false
	}
	key, pos := readVarint(f.b, f.pos)
	if pos < 0 || key>>3 < 1 || key>>3 > uint64(protowire.MaxValidNumber) {
		return f.malformed()
	}
	f.key = int(key)
	switch key & 7 {
	case varint:
		f.num, pos = readVarint(f.b, pos)
	case packed:
		f.num, pos = readVarint(f.b, pos)
		f.from = pos
		pos = skip(f.b, pos, f.num)
	case fixed64:
		f.from = pos
		if pos = skip(f.b, pos, 8); pos >= 0 {
			f.num = binary.LittleEndian.Uint64(f.b[f.from:])
		}
	default:
		n := protowire.ConsumeFieldValue(protowire.Number(key>>3), protowire.Type(key&7), f.b[pos:])
		pos = skip(f.b, pos, uint64(n))
	}
	if pos < 0 {
		return f.malformed()
	}
	f.pos = pos
	return true
}

// readVarint reads the varint at pos and gives the position behind it, -1 if
// it is malformed.
func readVarint(b []byte, pos int) (v uint64, end int) {
	for shift := 0; pos < len(b) && shift < 64; shift += 7 {
		c := b[pos]
		pos++
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			if shift == 63 && c > 1 {
				break
			}
			return v, pos
		}
	}
	return 0, -1
}

// skip is the position n bytes behind pos, -1 if b ends before.
func skip(b []byte, pos int, n uint64) int {
	if pos < 0 || n > uint64(len(b)-pos) {
		return -1
	}
	return pos + int(n)
}

// data is the value of a length-delimited field. It aliases the input.
func (f *fields) data() []byte { return f.b[f.from:f.pos:f.pos] }

// malformed ends the walk. Inlined, its formatting would slow next down.
//
//go:noinline
func (f *fields) malformed() bool {
	f.fail("malformed protobuf %d bytes before the end of the message", len(f.b)-f.pos)
	return false
}

// fail ends the walk with an error, unless there is one already.
func (f *fields) fail(format string, args ...any) {
	if f.err == nil {
		f.err = fmt.Errorf(format, args...)
	}
}

// check fails with err if it is one.
func (f *fields) check(err error) {
	if f.err == nil {
		f.err = err
	}
}

// in fails with err, if it is one, of the field called name.
func (f *fields) in(name string, err error) {
	if err != nil {
		f.fail("%s: %w", name, err)
	}
}

// at fails with err, if it is one, of the element i of the field called name.
func (f *fields) at(name string, i int, err error) {
	if err != nil {
		f.fail("%s[%d]: %w", name, i, err)
	}
}

// atMost is an error if there are more than most of what.
func atMost(what string, n, most int) error {
	if uint(n) > uint(most) {
		return fmt.Errorf("%s: %d, the most allowed is %d", what, uint(n), most)
	}
	return nil
}

// room is an empty slice with room for n elements.
func room[T any](n int) []T {
	if n == 0 {
		return nil
	}
	return make([]T, 0, n)
}

// count is how often key occurs in a message.
func count(message []byte, key int) (int, error) {
	n, f := 0, fields{b: message}
	for f.next() {
		if f.key == key {
			n++
		}
	}
	return n, f.err
}

// countVarints is how many varints are packed into f's present field.
func (f *fields) countVarints() int {
	n := 0
	for _, b := range f.data() {
		if b < 0x80 {
			n++ // the last byte of one
		}
	}
	return n
}

// uint32s appends the values of f's present field, packed or single.
func (f *fields) uint32s(s []uint32) []uint32 {
	if f.key&7 == varint {
		return append(s, uint32(f.num))
	}
	for b := f.data(); len(b) > 0; {
		v, n := protowire.ConsumeVarint(b)
		if n < 0 {
			f.malformed()
			break
		}
		s, b = append(s, uint32(v)), b[n:]
	}
	return s
}

// text is the value of a string field, which must be UTF-8.
func (f *fields) text(name string) []byte {
	if !utf8.Valid(f.data()) {
		f.fail("%s is no valid UTF-8", name)
	}
	return f.data()
}

// bool is the value of a bool field.
func (f *fields) bool() bool { return f.num != 0 }

// digest copies v to dst. Absent, v is the zero digest.
func (f *fields) digest(dst *[32]byte, v []byte, name string) {
	if len(v) != 0 && len(v) != len(dst) {
		f.fail("%s of %d bytes, allowed are 0 or %d", name, len(v), len(dst))
		return
	}
	*dst = [32]byte{}
	copy(dst[:], v)
}

// The append functions write one field, those named opt only if it is not
// zero, as proto3 does. All field numbers here are below 16: a key is one byte.

func appendOptVarint(b []byte, num int, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(append(b, byte(num<<3|varint)), v)
}

func appendOptBool(b []byte, num int, v bool) []byte {
	if !v {
		return b
	}
	return append(b, byte(num<<3|varint), 1)
}

func appendOptFixed64(b []byte, num int, v uint64) []byte {
	if v == 0 {
		return b
	}
	return appendFixed64(b, num, v)
}

func appendFixed64(b []byte, num int, v uint64) []byte {
	return binary.LittleEndian.AppendUint64(append(b, byte(num<<3|fixed64)), v)
}

func appendOptBytes[T []byte | string](b []byte, num int, v T) []byte {
	if len(v) == 0 {
		return b
	}
	return append(appendLength(b, num, len(v)), v...)
}

// appendLength starts a field of n bytes: a string, bytes or a message.
func appendLength(b []byte, num, n int) []byte {
	return protowire.AppendVarint(append(b, byte(num<<3|packed)), uint64(n))
}

// The size functions give what the append functions write.

func sizeOptVarint(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(v)
}

func sizeOptBool(v bool) int {
	if v {
		return 2
	}
	return 0
}

func sizeOptFixed64(v uint64) int {
	if v == 0 {
		return 0
	}
	return sizeFixed64
}

const sizeFixed64 = 9

func sizeOptBytes(n int) int {
	if n == 0 {
		return 0
	}
	return sizeLength(n)
}

// sizeLength is the size of a field of n bytes.
func sizeLength(n int) int { return 1 + protowire.SizeVarint(uint64(n)) + n }
