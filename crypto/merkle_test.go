package crypto

import "testing"

// rfc6962 is MTH of RFC 6962, section 2.1, as it is written there.
func rfc6962(leaves []Digest) Digest {
	switch len(leaves) {
	case 0:
		return Digest{}
	case 1:
		return leaves[0]
	}
	k := 1
	for 2*k < len(leaves) {
		k *= 2
	}
	left, right := rfc6962(leaves[:k]), rfc6962(leaves[k:])
	return testCluster.Hash(TagNode, left[:], right[:])
}

func TestMerkleRootIsThatOfRFC6962(t *testing.T) {
	for n := range 201 {
		want := rfc6962(testLeaves(n))
		if got := testCluster.MerkleRoot(testLeaves(n)); got != want {
			t.Errorf("%d leaves: %s, want %s", n, got, want)
		}
	}
}

func TestFrontierHasTheRootOfItsLeaves(t *testing.T) {
	var f Frontier
	for n, leaf := range testLeaves(201) {
		if got, want := f.Root(testCluster), rfc6962(testLeaves(n)); got != want {
			t.Errorf("%d leaves: %s, want %s", n, got, want)
		}
		peaks := 0
		for size := n; size > 0; size &= size - 1 {
			peaks++
		}
		if f.Size != uint64(n) || len(f.Peaks) != peaks {
			t.Errorf("%d leaves: size %d, %d peaks, want %d", n, f.Size, len(f.Peaks), peaks)
		}
		f.Append(testCluster, leaf)
	}
}

func TestClonedFrontierGrowsAlone(t *testing.T) {
	leaves := testLeaves(12)
	var f Frontier
	for _, leaf := range leaves[:7] {
		f.Append(testCluster, leaf)
	}
	clone := f.Clone()
	for _, leaf := range leaves[7:] {
		f.Append(testCluster, leaf)
	}
	if got, want := clone.Root(testCluster), rfc6962(testLeaves(7)); got != want || clone.Size != 7 {
		t.Errorf("clone: %s of %d, want %s of 7", got, clone.Size, want)
	}
}
