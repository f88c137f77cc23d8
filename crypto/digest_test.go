package crypto

import (
	"crypto/sha256"
	"strings"
	"testing"
)

func TestHashIsOverTagClusterAndParts(t *testing.T) {
	for _, size := range []int{0, 1, 400, 500, 5000} { // on the stack and beyond
		text := strings.Repeat("x", size)
		want := Digest(sha256.Sum256([]byte("pbft1/batch\x00" + string(testCluster[:]) + text)))
		for _, cut := range []int{0, size / 2, size} {
			if got := testCluster.Hash(TagBatch, []byte(text[:cut]), nil, []byte(text[cut:])); got != want {
				t.Errorf("%d bytes cut at %d: %s, want %s", size, cut, got.Hex(), want.Hex())
			}
		}
	}
}

func TestNoTagIsTheBeginningOfAnother(t *testing.T) {
	for i, a := range allTags {
		if !strings.HasPrefix(string(a), "pbft1/") || strings.IndexByte(string(a), 0) != len(a)-1 {
			t.Errorf("tag %q: want pbft1/, a name, one NUL", a)
		}
		for j, b := range allTags {
			if i != j && strings.HasPrefix(string(b), string(a)) {
				t.Errorf("%q begins with %q", b, a)
			}
		}
	}
}

func TestShortInputsAreHashedWithoutAllocating(t *testing.T) {
	input := make([]byte, 400)
	if n := testing.AllocsPerRun(10, func() { testCluster.Hash(TagNode, input) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestDigestText(t *testing.T) {
	d := Digest{0x01, 0x23, 0x45, 0x67, 0x89}
	if d.String() != "01234567" || d.Hex() != "0123456789"+strings.Repeat("0", 54) || ClusterID(d).String() != "01234567" {
		t.Errorf("%s, %s, %s", d, d.Hex(), ClusterID(d))
	}
	if d.IsZero() || !(Digest{}).IsZero() {
		t.Error("only the zero digest is zero")
	}
	if !d.Less(Digest{0x01, 0x24}) || d.Less(d) || d.Less(Digest{}) {
		t.Error("digests are ordered by their bytes")
	}
}

func TestNullBatchesDifferByEpochAndNumber(t *testing.T) {
	seen := make(map[Digest]bool)
	for epoch := range uint64(3) {
		for n := range uint64(3) {
			seen[testCluster.NullDigest(epoch, n)] = true
		}
	}
	if len(seen) != 9 {
		t.Errorf("%d digests, want 9", len(seen))
	}
}
