package crypto

import (
	"bytes"
	"errors"
	"testing"
)

func TestReaderReadsWhatWasAppended(t *testing.T) {
	d := testCluster.Hash(TagValue)
	b := AppendU16([]byte{7}, 0x0102)
	b = AppendU32(b, 0x03040506)
	b = AppendU64(b, 0x0708090a0b0c0d0e)
	b = AppendBytes(b, nil)
	b = AppendString(b, "text")
	b = append(b, d[:]...)
	if want := []byte{7, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0, 0, 0, 0, 0, 0, 0, 4, 't', 'e', 'x', 't'}; !bytes.HasPrefix(b, want) {
		t.Fatalf("% x", b)
	}
	r := NewReader(b)
	if r.U8() != 7 || r.U16() != 0x0102 || r.U32() != 0x03040506 || r.U64() != 0x0708090a0b0c0d0e ||
		len(r.Bytes()) != 0 || string(r.Bytes()) != "text" || r.Len() != len(d) || r.Digest() != d {
		t.Error("read something else")
	}
	if err := r.Done(); err != nil {
		t.Error(err)
	}
}

func TestReaderFailureSticks(t *testing.T) {
	r := NewReader([]byte{0, 0, 0, 9, 1, 2, 3})
	if r.Bytes() != nil || !errors.Is(r.Err(), ErrShort) {
		t.Errorf("length beyond the end: %v", r.Err())
	}
	first := r.Err()
	if r.U8() != 0 || r.U16() != 0 || r.U32() != 0 || r.U64() != 0 || r.Bytes() != nil || !r.Digest().IsZero() {
		t.Error("read on after a failure")
	}
	if !errors.Is(r.Done(), first) {
		t.Errorf("%v, want %v", r.Done(), first)
	}
}

func TestReaderRefusesTrailingBytes(t *testing.T) {
	r := NewReader([]byte{1, 2, 3})
	r.U8()
	if err := r.Done(); err == nil || err.Error() != "canonical bytes: 2 bytes too many" {
		t.Error(err)
	}
}

func TestReaderBytesCannotBeAppendedOver(t *testing.T) {
	b := append(AppendBytes(nil, []byte("ab")), "next"...)
	r := NewReader(b)
	_ = append(r.Bytes(), "XXXX"...)
	if !bytes.HasSuffix(b, []byte("next")) {
		t.Errorf("%q", b)
	}
}
