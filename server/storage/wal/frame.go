package wal

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/pbft-go/pbft/server/storage/file"
)

// The frame's header, all big-endian: magic u32, checksum u32, id 16 bytes,
// counter u64, chain 16 bytes, segment u64, payload length u32, kind u8, three
// zero bytes. The checksum is CRC-32C over all of the frame but itself.
const (
	headerSize = 64
	magic      = 0x70626c67 // "pblg"

	checksumAt = 4
	idAt       = 8
	counterAt  = 24
	chainAt    = 32
	segmentAt  = 48
	lengthAt   = 56
	kindAt     = 60
)

// maxPayload is the most bytes in a frame behind its header. It is far above
// what one turn of a replica records, and keeps lengths within 32 bits.
const maxPayload = 1 << 30

// kind says what a frame's payload is.
type kind uint8

const (
	kindSegment kind = 1 // begins a segment: who, and the facts that stand
	kindRecords kind = 2 // one append
	kindClean   kind = 3 // the log was closed; no payload
	kindRelease kind = 4 // segments below this one may be gone
)

// id tells the frames of this log from what a client may have put into a
// request to look like one. It is drawn at random when the log is made.
type id = [16]byte

// chain ties a frame to the one before: the first bytes of SHA-256 over that
// one's header, whose checksum covers the rest.
type chain [16]byte

// header is what a frame says about itself.
type header struct {
	id      id
	counter uint64 // 1, 2, 3, ... over the life of the log
	chain   chain
	segment uint64
	length  int // of the payload
	kind    kind
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(frame []byte) uint32 {
	return crc32.Update(crc32.Checksum(frame[:checksumAt], castagnoli), castagnoli, frame[checksumAt+4:])
}

// seal completes a frame: payload and padding are there.
func (h *header) seal(frame []byte) {
	clear(frame[:headerSize])
	binary.BigEndian.PutUint32(frame, magic)
	copy(frame[idAt:], h.id[:])
	binary.BigEndian.PutUint64(frame[counterAt:], h.counter)
	copy(frame[chainAt:], h.chain[:])
	binary.BigEndian.PutUint64(frame[segmentAt:], h.segment)
	binary.BigEndian.PutUint32(frame[lengthAt:], uint32(h.length))
	frame[kindAt] = byte(h.kind)
	binary.BigEndian.PutUint32(frame[checksumAt:], checksum(frame))
}

// link is the chain of the frame behind this one.
func link(frame []byte) chain {
	sum := sha256.Sum256(frame[:headerSize])
	return chain(sum[:len(chain{})])
}

// parseHeader reads the header at the start of a block, with room bytes up to
// the segment's end. The checksum is not looked at.
func parseHeader(b []byte, room int64) (h header, err error) {
	if got := binary.BigEndian.Uint32(b); got != magic {
		return h, fmt.Errorf("no frame begins there (%#08x)", got)
	}
	h = header{
		id:      id(b[idAt:]),
		counter: binary.BigEndian.Uint64(b[counterAt:]),
		chain:   chain(b[chainAt:]),
		segment: binary.BigEndian.Uint64(b[segmentAt:]),
		length:  int(binary.BigEndian.Uint32(b[lengthAt:])),
		kind:    kind(b[kindAt]),
	}
	if h.length > maxPayload || h.size() > room {
		return h, fmt.Errorf("a frame begins there that would have %d bytes, with %d left in the file", h.size(), room)
	}
	return h, nil
}

// size is that of the whole frame with its padding.
func (h *header) size() int64 { return blocks(headerSize + int64(h.length)) }

// blocks rounds n up to whole blocks.
func blocks(n int64) int64 { return (n + file.Block - 1) / file.Block * file.Block }

// buffer holds one frame at a time. Its memory stays, so that appending to the
// log allocates nothing.
type buffer struct{ b []byte }

// begin gives the slice to append the payload to.
func (f *buffer) begin() []byte {
	if cap(f.b) < 16*file.Block {
		f.b = file.Aligned(16 * file.Block)
	}
	return f.b[:headerSize]
}

// end takes what begin gave back, with its payload, and pads it to whole blocks.
func (f *buffer) end(b []byte) []byte {
	size := int(blocks(int64(len(b))))
	if size > cap(f.b) { // append has moved b, to where no device writes from
		f.b = file.Aligned(size + size/4)
		copy(f.b[:size], b)
	}
	frame := f.b[:size]
	clear(frame[len(b):])
	return frame
}
