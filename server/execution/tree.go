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
	dirty  [treeLevels + 1]bitset
}

func newTree(c crypto.ClusterID) *tree {
	t := &tree{h: hasher{c: c}}
	size := 1
	for i := range t.levels {
		t.levels[i], t.dirty[i] = make([]crypto.Digest, size), newBitset(size)
		size *= fanout
	}
	return t
}

// touch notes that a bucket changed.
func (t *tree) touch(bucket int) { t.dirty[treeLevels].add(bucket) }

// root rehashes the buckets that changed since the last call, and the nodes
// above them; the result is that of hashing everything.
func (t *tree) root(buckets []*bucket) crypto.Digest {
	for level := treeLevels; level >= 0; level-- {
		t.dirty[level].drain(func(i int) {
			if level == treeLevels {
				t.levels[level][i] = t.h.bucket(i, buckets[i])
			} else {
				t.levels[level][i] = t.h.node(t.levels[level+1][i*fanout : (i+1)*fanout])
			}
			if level > 0 {
				t.dirty[level-1].add(i / fanout)
			}
		})
	}
	return t.levels[0][0]
}

// hasher digests buckets and nodes; its buffer spares an allocation for each.
type hasher struct {
	c   crypto.ClusterID
	buf []byte
}

func (h *hasher) node(children []crypto.Digest) crypto.Digest {
	h.buf = h.buf[:0]
	empty := true
	for i := range children {
		empty = empty && children[i].IsZero()
		h.buf = append(h.buf, children[i][:]...)
	}
	if empty {
		return crypto.Digest{}
	}
	return h.c.Hash(crypto.TagNode, h.buf)
}

func (h *hasher) bucket(i int, b *bucket) crypto.Digest {
	if b == nil || len(b.chunks) == 0 {
		return crypto.Digest{}
	}
	h.buf = crypto.AppendU16(h.buf[:0], uint16(i))
	if len(b.chunks) == 1 {
		return h.c.Hash(crypto.TagBucket, h.buf, b.chunks[0].data)
	}
	parts := make([][]byte, 0, 1+len(b.chunks))
	parts = append(parts, h.buf)
	for j := range b.chunks {
		parts = append(parts, b.chunks[j].data)
	}
	return h.c.Hash(crypto.TagBucket, parts...)
}

// Root digests a snapshot from scratch.
func (s *Snapshot) Root(c crypto.ClusterID) crypto.Digest {
	h := hasher{c: c, buf: make([]byte, 0, fanout*sha256.Size)}
	level := make([]crypto.Digest, numBuckets)
	for i, b := range s.buckets {
		level[i] = h.bucket(i, b)
	}
	for len(level) > 1 {
		up := make([]crypto.Digest, len(level)/fanout)
		for i := range up {
			up[i] = h.node(level[i*fanout : (i+1)*fanout])
		}
		level = up
	}
	return level[0]
}
