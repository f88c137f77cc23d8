package transport

import "google.golang.org/protobuf/encoding/protowire"

// fields walks the fields of one protobuf message:
//
//	f := fields{b: b}
//	for f.next() { … }
//	return f.err
type fields struct {
	b      []byte
	num    protowire.Number
	typ    protowire.Type
	varint uint64 // value of a varint field
	bytes  []byte // value of a bytes field, aliases b
	err    error  // b is no protobuf
}

// next reads the next field. It reports false behind the last one and on
// malformed bytes.
func (f *fields) next() bool {
	if f.err != nil || len(f.b) == 0 {
		return false
	}
	var tag, size int
	if f.num, f.typ, tag = protowire.ConsumeTag(f.b); tag >= 0 && f.num <= protowire.MaxValidNumber {
		switch b := f.b[tag:]; f.typ {
		case protowire.VarintType:
			f.varint, size = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			f.bytes, size = protowire.ConsumeBytes(b)
		default: // of no type that is used here
			size = protowire.ConsumeFieldValue(f.num, f.typ, b)
		}
		if size >= 0 {
			f.b = f.b[tag+size:]
			return true
		}
	}
	f.err = reject(Malformed, "protobuf: a field is cut off or malformed")
	return false
}

// isVarint and isBytes tell a known field. One of another type than expected
// is unknown, and skipped, as protobuf has it.
func (f *fields) isVarint(num protowire.Number) bool {
	return f.num == num && f.typ == protowire.VarintType
}

func (f *fields) isBytes(num protowire.Number) bool {
	return f.num == num && f.typ == protowire.BytesType
}
