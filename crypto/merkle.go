package crypto

import "math/bits"

// MerkleRoot is the root over leaves in the shape of RFC 6962, section 2.1:
// the left subtree is the largest full one. Of no leaves it is the zero
// digest, of one leaf the leaf. It overwrites leaves.
func (c ClusterID) MerkleRoot(leaves []Digest) Digest {
	// Folding pairs level by level, an odd last one moving up unchanged,
	// gives the same tree as the recursive definition.
	if len(leaves) == 0 {
		return Digest{}
	}
	for len(leaves) > 1 {
		k := 0
		for i := 0; i+1 < len(leaves); i += 2 {
			leaves[k] = c.Node(leaves[i], leaves[i+1])
			k++
		}
		if len(leaves)%2 == 1 {
			leaves[k] = leaves[len(leaves)-1]
			k++
		}
		leaves = leaves[:k]
	}
	return leaves[0]
}

// Node is the digest of an inner node with two children.
func (c ClusterID) Node(left, right Digest) Digest {
	return c.Hash(TagNode, left[:], right[:])
}

// Frontier is an append-only Merkle tree of which only the roots of its full
// subtrees are kept: O(log n) digests. The zero value is the empty tree.
type Frontier struct {
	Size  uint64
	Peaks []Digest // largest subtree first
}

// Append adds a leaf.
func (f *Frontier) Append(c ClusterID, leaf Digest) {
	f.Size++
	for i := bits.TrailingZeros64(f.Size); i > 0; i-- {
		last := len(f.Peaks) - 1
		leaf = c.Node(f.Peaks[last], leaf)
		f.Peaks = f.Peaks[:last]
	}
	f.Peaks = append(f.Peaks, leaf)
}

// Root is the tree's root in the shape of RFC 6962.
func (f *Frontier) Root(c ClusterID) Digest {
	if len(f.Peaks) == 0 {
		return Digest{}
	}
	root := f.Peaks[len(f.Peaks)-1]
	for i := len(f.Peaks) - 2; i >= 0; i-- {
		root = c.Node(f.Peaks[i], root)
	}
	return root
}

// Valid reports whether f has as many subtrees as its size demands.
func (f *Frontier) Valid() bool { return len(f.Peaks) == bits.OnesCount64(f.Size) }

// Clone copies f.
func (f *Frontier) Clone() Frontier {
	return Frontier{Size: f.Size, Peaks: append([]Digest(nil), f.Peaks...)}
}
