package execution

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/pbft-go/pbft/crypto"
)

// maxInline is the longest value that stands in its entry; of a longer one the
// entry has the digest, so that its neighbours' changes do not hash it again.
// It is a format.
const maxInline = 256

// chunkSize is where a bucket's entries are split: a client that aims all its
// keys at one bucket pays a search among chunks, not a walk over the bucket.
// Chunks change no digest.
const chunkSize = 4 << 10

// noDigest stands in the entry of a long value until a checkpoint needs its
// digest.
var noDigest crypto.Digest

// chunk is a bucket, or a part of one that was split: its entries sorted by
// key in canonical bytes, without a pointer per entry. An entry is u32 length
// and key, u32 length of the value, and the value or its digest.
type chunk struct {
	data []byte
	more *more // nil for most
}

// more is what few chunks have.
type more struct {
	large []ref   // the long values, in the order of their entries; their bytes never change
	parts []chunk // of a split bucket, none of them empty; the bucket's own data is empty then
}

// place is where an entry is in a chunk, or where it belongs.
type place struct {
	offset  int
	size    int // of the entry, 0 if there is none
	large   int // how many entries before it have long values
	isLarge bool
}

// part is the part of the bucket to which key belongs.
func (c *chunk) part(key []byte) *chunk {
	if c.more == nil || len(c.more.parts) == 0 {
		return c
	}
	lo, hi := 0, len(c.more.parts)
	for lo < hi {
		mid := (lo + hi) / 2
		if bytes.Compare(entryKey(c.more.parts[mid].data), key) <= 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return &c.more.parts[max(lo-1, 0)]
}

func entryKey(e []byte) []byte { return e[4 : 4+binary.BigEndian.Uint32(e)] }

// entrySize is the size of the entry that e begins with, and whether its value
// is a long one.
func entrySize(e []byte) (size int, isLarge bool) {
	k := int(binary.BigEndian.Uint32(e))
	v := int(binary.BigEndian.Uint32(e[4+k:]))
	if v > maxInline {
		return 8 + k + len(noDigest), true
	}
	return 8 + k + v, false
}

// find looks for key, entry by entry.
func (c *chunk) find(key []byte) (at place) {
	for at.offset < len(c.data) {
		e := c.data[at.offset:]
		size, isLarge := entrySize(e)
		switch bytes.Compare(entryKey(e), key) {
		case 0:
			at.size, at.isLarge = size, isLarge
			return at
		case 1:
			return at
		}
		if isLarge {
			at.large++
		}
		at.offset += size
	}
	return at
}

// value is the long value in a place, if there is one, and whether its entry
// has the digest.
func (c *chunk) value(at place) (r ref, sealed, ok bool) {
	if !at.isLarge {
		return ref{}, false, false
	}
	digest := c.data[at.offset+at.size-len(noDigest) : at.offset+at.size]
	return c.more.large[at.large], !bytes.Equal(digest, noDigest[:]), true
}

// put puts an entry, and its value if that is a long one, in a place.
func (c *chunk) put(at place, entry []byte, large *ref) {
	if grow := len(entry) - at.size; grow != 0 {
		c.resize(at.offset+at.size, grow)
	}
	copy(c.data[at.offset:], entry)
	c.setLarge(at, large)
}

// resize moves what stands at offset and above by grow bytes.
func (c *chunk) resize(offset, grow int) {
	size := len(c.data) + grow
	if size > cap(c.data) {
		data := make([]byte, len(c.data), size+size/8)
		copy(data, c.data)
		c.data = data
	}
	tail := c.data[offset:]
	c.data = c.data[:size]
	copy(c.data[offset+grow:], tail)
}

// setLarge puts a long value, or none, in a place.
func (c *chunk) setLarge(at place, value *ref) {
	switch {
	case value == nil && !at.isLarge:
	case value == nil:
		c.more.large = slices.Delete(c.more.large, at.large, at.large+1)
	case at.isLarge:
		c.more.large[at.large] = *value
	default:
		if c.more == nil {
			c.more = &more{}
		}
		c.more.large = slices.Insert(c.more.large, at.large, *value)
	}
}

// remove takes an entry out.
func (c *chunk) remove(at place) {
	c.data = slices.Delete(c.data, at.offset, at.offset+at.size)
	c.setLarge(at, nil)
}

// split halves part c of bucket b at an entry, if it holds more than one.
func (b *chunk) split(c *chunk) {
	cut, large := 0, 0
	for cut < len(c.data)/2 {
		size, isLarge := entrySize(c.data[cut:])
		if cut+size == len(c.data) {
			break
		}
		if cut += size; isLarge {
			large++
		}
	}
	if cut == 0 {
		return
	}
	left, right := chunk{data: bytes.Clone(c.data[:cut])}, chunk{data: bytes.Clone(c.data[cut:])}
	if c.more != nil && len(c.more.large) > 0 {
		left.more = &more{large: slices.Clone(c.more.large[:large])}
		right.more = &more{large: slices.Clone(c.more.large[large:])}
	}
	if c == b {
		*b = chunk{more: &more{parts: []chunk{left, right}}}
		return
	}
	i := b.index(c)
	*c = left
	b.more.parts = slices.Insert(b.more.parts, i+1, right)
}

// drop takes part c, which is empty, out of bucket b.
func (b *chunk) drop(c *chunk) {
	if c == b {
		*b = chunk{}
		return
	}
	i := b.index(c)
	b.more.parts = slices.Delete(b.more.parts, i, i+1)
	if len(b.more.parts) == 0 {
		*b = chunk{}
	}
}

func (b *chunk) index(part *chunk) int {
	for i := range b.more.parts {
		if &b.more.parts[i] == part {
			return i
		}
	}
	panic("execution: a chunk of another bucket")
}

// empty reports whether a bucket has no entry.
func (b *chunk) empty() bool { return len(b.data) == 0 && len(b.parts()) == 0 }

// each calls f for the bucket's parts in order.
func (b *chunk) each(f func(part *chunk)) {
	if b.more == nil || len(b.more.parts) == 0 {
		f(b)
		return
	}
	for i := range b.more.parts {
		f(&b.more.parts[i])
	}
}

// appendTo appends the bucket's entries and its long values.
func (b *chunk) appendTo(data []byte, large []ref) ([]byte, []ref) {
	b.each(func(part *chunk) {
		data = append(data, part.data...)
		if part.more != nil {
			large = append(large, part.more.large...)
		}
	})
	return data, large
}

// unsealed is a long value whose digest is missing in its entry.
type unsealed struct{ entry, value []byte }

// unsealed lists the long values whose entries lack their digests.
func (c *chunk) unsealed(v *values, list []unsealed) []unsealed {
	if c.more == nil || len(c.more.large) == 0 {
		return list
	}
	large := 0
	for at := 0; at < len(c.data); {
		size, isLarge := entrySize(c.data[at:])
		if isLarge {
			in := c.data[at+size-len(noDigest) : at+size]
			if bytes.Equal(in, noDigest[:]) {
				list = append(list, unsealed{in, v.get(c.more.large[large])})
			}
			large++
		}
		at += size
	}
	return list
}
