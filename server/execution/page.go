package execution

import (
	"bytes"
	"encoding/binary"
	"math/bits"

	"github.com/pbft-go/pbft/crypto"
)

// pageSize is how many numbers share a digest in the client table, so that a
// request rehashes one page, not the client's whole window. It is a format.
const pageSize = 64

// page holds the outcomes of pageSize numbers of one client. Their results
// stand in one buffer: a table of a million replies is no work for the garbage
// collector.
type page struct {
	index  uint64        // of the numbers index*pageSize and up
	set    uint64        // bit i: number i of the page is executed
	kept   uint64        // bit i: its result is kept, and not empty
	digest crypto.Digest // of the page, if clean
	clean  bool
	saved  bool // the disk has it, or the save under way
	shared bool // it is part of an image: it must not change

	buf     []byte
	live    int // bytes of buf that belong to a reply
	replies [pageSize]reply
}

// reply is the outcome of one number. Of a tombstone, buf holds the digest and
// the size of the result.
type reply struct {
	n, session uint64
	at, size   uint32 // in buf; before the result is known, at is the call's index
	status     crypto.Status
	tombstone  bool
}

const tombstoneSize = len(crypto.Digest{}) + 8

// keepBuffer is the largest buffer that a page without replies keeps.
const keepBuffer = 1 << 10

// compactAbove is how many bytes of buf may belong to no reply, beside as many
// as do.
const compactAbove = 512

// copy is the page as it is, free to change.
func (p *page) copy() *page {
	q := *p
	q.buf, q.shared = bytes.Clone(p.buf), false
	return &q
}

// mark notes that number i of the page is executed at n.
func (p *page) mark(i uint64, r reply) {
	p.set |= 1 << i
	p.clean, p.saved = false, false
	p.replies[i] = r
}

// value is the result of number i, or a tombstone's bytes, in buf.
func (p *page) value(i uint64) []byte {
	r := &p.replies[i]
	if r.size == 0 {
		return nil
	}
	return p.buf[r.at : r.at+r.size]
}

// put stores bytes for number i in the place of those it has.
func (p *page) put(i uint64, tombstone bool, value []byte) {
	p.clean, p.saved = false, false
	r := &p.replies[i]
	p.live += len(value) - int(r.size)
	r.at, r.size, r.tombstone = uint32(len(p.buf)), uint32(len(value)), tombstone
	p.buf = append(p.buf, value...)
	if tombstone || len(value) == 0 {
		p.kept &^= 1 << i
	} else {
		p.kept |= 1 << i
	}
	p.compact()
}

// drop forgets the numbers whose bits are set in gone, and reports the bytes
// of results that they held.
func (p *page) drop(gone uint64) (bytes int) {
	gone &= p.set
	for left := gone; left != 0; left &= left - 1 {
		i := bits.TrailingZeros64(left)
		r := &p.replies[i]
		if p.kept&(1<<i) != 0 {
			bytes += int(r.size)
		}
		p.live -= int(r.size)
		*r = reply{}
	}
	p.set &^= gone
	p.kept &^= gone
	p.clean, p.saved = false, false
	p.compact()
	return bytes
}

// compact gives the room of forgotten bytes back.
func (p *page) compact() {
	switch {
	case p.live == 0 && cap(p.buf) <= keepBuffer:
		p.buf = p.buf[:0]
	case p.live == 0:
		p.buf = nil
	case len(p.buf)-p.live > p.live+compactAbove:
		buf := make([]byte, 0, p.live)
		for left := p.set; left != 0; left &= left - 1 {
			i := uint64(bits.TrailingZeros64(left))
			if value := p.value(i); len(value) > 0 {
				p.replies[i].at = uint32(len(buf))
				buf = append(buf, value...)
			}
		}
		p.buf = buf
	}
}

// bury stores a tombstone of value for number i.
func (p *page) bury(c crypto.ClusterID, i uint64, value []byte) {
	var buf [tombstoneSize]byte
	d := c.ValueDigest(value)
	copy(buf[:], d[:])
	binary.BigEndian.PutUint64(buf[len(d):], uint64(len(value)))
	p.put(i, true, buf[:])
}

// append appends the canonical bytes of the page: its index and its outcomes
// by rising number.
func (p *page) append(b []byte) []byte {
	b = crypto.AppendU64(b, p.index)
	for left := p.set; left != 0; left &= left - 1 {
		i := uint64(bits.TrailingZeros64(left))
		r := &p.replies[i]
		b = crypto.AppendU64(b, p.index*pageSize+i)
		b = crypto.AppendU64(b, r.n)
		b = crypto.AppendU64(b, r.session)
		b = append(b, byte(r.status))
		if r.tombstone {
			b = append(b, 1)
			b = append(b, p.value(i)...)
			continue
		}
		b = append(b, 0)
		b = crypto.AppendBytes(b, p.value(i))
	}
	return b
}
