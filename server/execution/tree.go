package execution

import (
	"crypto/sha256"

	"github.com/pbft-go/pbft/crypto"
)

// tree is the Merkle tree over the buckets: 16 children a node, 4 levels. A
// node all of whose children are empty is the zero digest.
type tree struct {
	// levels[0] is the root alone, levels[4] the buckets.
	levels [treeLevels + 1][]crypto.Digest
}

func newTree() (t tree) {
	size := 1
	for i := range t.levels {
		t.levels[i] = make([]crypto.Digest, size)
		size *= fanout
	}
	return t
}

// Root digests the state. It rehashes the buckets that changed since the last
// call, and the nodes above them; the result is that of hashing everything.
func (s *Store) Root() crypto.Digest {
	dirty := s.dirty.list
	for _, i := range dirty {
		s.dirty.marked[i] = false
		s.tree.levels[treeLevels][i] = bucketDigest(s.c, i, s.buckets[i])
	}
	s.dirty.list = s.dirty.list[:0]
	parents := append([]int(nil), dirty...)
	for level := treeLevels - 1; level >= 0; level-- {
		parents = s.tree.rehash(s.c, level, parents)
	}
	return s.tree.levels[0][0]
}

// rehash computes the parents, in level, of the given nodes below it, each
// once, and returns them.
func (t *tree) rehash(c crypto.ClusterID, level int, below []int) []int {
	seen := make(map[int]bool, len(below))
	parents := below[:0]
	for _, i := range below {
		p := i / fanout
		if seen[p] {
			continue
		}
		seen[p] = true
		t.levels[level][p] = nodeDigest(c, t.levels[level+1][p*fanout:(p+1)*fanout])
		parents = append(parents, p)
	}
	return parents
}

func nodeDigest(c crypto.ClusterID, children []crypto.Digest) crypto.Digest {
	var buf [fanout * sha256.Size]byte
	empty := true
	for i, d := range children {
		empty = empty && d.IsZero()
		copy(buf[i*sha256.Size:], d[:])
	}
	if empty {
		return crypto.Digest{}
	}
	return c.Hash(crypto.TagNode, buf[:])
}

func bucketDigest(c crypto.ClusterID, i int, b *bucket) crypto.Digest {
	if b == nil || len(b.chunks) == 0 {
		return crypto.Digest{}
	}
	var index [2]byte
	crypto.AppendU16(index[:0], uint16(i))
	if len(b.chunks) == 1 {
		return c.Hash(crypto.TagBucket, index[:], b.chunks[0])
	}
	return c.Hash(crypto.TagBucket, append([][]byte{index[:]}, b.chunks...)...)
}

// Root digests a snapshot from scratch.
func (s *Snapshot) Root(c crypto.ClusterID) crypto.Digest {
	level := make([]crypto.Digest, numBuckets)
	for i, b := range s.buckets {
		level[i] = bucketDigest(c, i, b)
	}
	for len(level) > 1 {
		up := make([]crypto.Digest, len(level)/fanout)
		for i := range up {
			up[i] = nodeDigest(c, level[i*fanout:(i+1)*fanout])
		}
		level = up
	}
	return level[0]
}
