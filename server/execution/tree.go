package execution

import (
	"crypto/sha256"

	"github.com/pbft-go/pbft/crypto"
)

// tree is the Merkle tree over the buckets: 16 children a node, 4 levels. A
// node all of whose children are empty is the zero digest.
type tree struct {
	h hasher
	// levels[0] is the root alone, levels[treeLevels] the buckets.
	levels [treeLevels + 1][]crypto.Digest

	// The digest under way: the buckets that changed are hashed, then level by
	// level the nodes above them.
	pending bitset             // buckets to hash
	nodes   [treeLevels]bitset // nodes to hash, by level
	level   int                // at work, -1: complete
	next    int                // where to go on in it
	batch   []int              // scratch
}

func newTree(c crypto.ClusterID, v *values) *tree {
	t := &tree{h: newHasher(c, v), level: -1, pending: newBitset(numBuckets)}
	size := 1
	for i := range t.levels {
		t.levels[i] = make([]crypto.Digest, size)
		if i < treeLevels {
			t.nodes[i] = newBitset(size)
		}
		size *= fanout
	}
	return t
}

// begin begins the digest of a state that differs from the last one in the
// given buckets. Until a bucket is hashed it must not change.
func (t *tree) begin(changed bitset) {
	copy(t.pending, changed)
	t.level, t.next = treeLevels, 0
}

// leaf hashes a bucket.
func (t *tree) leaf(i int, b *chunk) {
	t.pending.remove(i)
	t.levels[treeLevels][i] = t.h.bucket(i, b)
	t.nodes[treeLevels-1].add(i / fanout)
}

// step hashes at most most buckets or nodes, and reports whether the digest is
// complete.
func (t *tree) step(buckets []chunk, most int) (done bool) {
	for ; t.level >= 0; t.level, t.next = t.level-1, 0 {
		if most -= t.stepLevel(buckets, most); most <= 0 {
			return false
		}
	}
	return true
}

// stepBatch is how many buckets are on their way from memory at once.
const stepBatch = 32

// stepLevel hashes what is pending of the level, at most most.
func (t *tree) stepLevel(buckets []chunk, most int) (n int) {
	set := t.pending
	if t.level < treeLevels {
		set = t.nodes[t.level]
	}
	for n < most {
		t.batch = set.pop(t.next, min(stepBatch, most-n), t.batch[:0])
		if len(t.batch) == 0 {
			break
		}
		n += len(t.batch)
		t.next = t.batch[len(t.batch)-1]
		if t.level == treeLevels {
			t.h.prefetch(buckets, t.batch)
			t.h.seal(buckets, t.batch)
		}
		for _, i := range t.batch {
			if t.level == treeLevels {
				t.leaf(i, &buckets[i])
				continue
			}
			t.levels[t.level][i] = t.h.node(t.levels[t.level+1][i*fanout : (i+1)*fanout])
			if t.level > 0 {
				t.nodes[t.level-1].add(i / fanout)
			}
		}
	}
	return n
}

// hasher digests buckets and nodes. Its buffer, which spares an allocation for
// each, begins with what all digests of one tag begin with.
type hasher struct {
	c            crypto.ClusterID
	values       *values
	bucketPrefix []byte
	nodePrefix   []byte
	buf          []byte
	unsealed     []unsealed
	touched      uint64
}

func newHasher(c crypto.ClusterID, v *values) hasher {
	return hasher{
		c:            c,
		values:       v,
		bucketPrefix: c.AppendPrefix(nil, crypto.TagBucket),
		nodePrefix:   c.AppendPrefix(nil, crypto.TagNode),
	}
}

// prefetch brings buckets into the processor's caches.
func (h *hasher) prefetch(buckets []chunk, at []int) {
	var sum uint64
	for _, i := range at {
		b := &buckets[i]
		sum += touch(b.data)
		if b.more != nil {
			for _, r := range b.more.large {
				sum += uint64(h.values.get(r)[0])
			}
		}
	}
	h.touched = sum
}

// seal puts the digests of long values into the entries that lack them, two at a
// time.
func (h *hasher) seal(buckets []chunk, at []int) {
	list := h.unsealed[:0]
	for _, i := range at {
		buckets[i].each(func(part *chunk) { list = part.unsealed(h.values, list) })
	}
	h.sealAll(list)
}

// sealPart does the same for a part of a bucket.
func (h *hasher) sealPart(part *chunk) { h.sealAll(part.unsealed(h.values, h.unsealed[:0])) }

func (h *hasher) sealAll(list []unsealed) {
	i := 0
	for ; i+1 < len(list); i += 2 {
		a, b := h.c.HashPair(crypto.TagValue, list[i].value, list[i+1].value)
		copy(list[i].entry, a[:])
		copy(list[i+1].entry, b[:])
	}
	if i < len(list) {
		d := h.c.ValueDigest(list[i].value)
		copy(list[i].entry, d[:])
	}
	clear(list)
	h.unsealed = list
}

func (h *hasher) node(children []crypto.Digest) crypto.Digest {
	b := append(h.buf[:0], h.nodePrefix...)
	empty := true
	for i := range children {
		empty = empty && children[i].IsZero()
		b = append(b, children[i][:]...)
	}
	h.buf = b
	if empty {
		return crypto.Digest{}
	}
	return sha256.Sum256(b)
}

// rootOf digests the tree over all buckets' digests.
func (h *hasher) rootOf(level []crypto.Digest) crypto.Digest {
	for len(level) > 1 {
		up := make([]crypto.Digest, len(level)/fanout)
		for i := range up {
			up[i] = h.node(level[i*fanout : (i+1)*fanout])
		}
		level = up
	}
	return level[0]
}

// bucket digests a bucket: its index and its entries.
func (h *hasher) bucket(i int, b *chunk) crypto.Digest {
	buf := crypto.AppendU16(append(h.buf[:0], h.bucketPrefix...), uint16(i))
	empty := len(buf)
	b.each(func(part *chunk) {
		h.sealPart(part)
		buf = append(buf, part.data...)
	})
	h.buf = buf
	if len(buf) == empty {
		return crypto.Digest{}
	}
	return sha256.Sum256(buf)
}

// digest digests a bucket's entries, in which the digests of long values stand.
func (h *hasher) digest(i int, data []byte) crypto.Digest {
	if len(data) == 0 {
		return crypto.Digest{}
	}
	h.buf = append(crypto.AppendU16(append(h.buf[:0], h.bucketPrefix...), uint16(i)), data...)
	return sha256.Sum256(h.buf)
}
