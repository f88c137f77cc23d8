package crypto

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/pbft-go/pbft/crypto/sha256pair"
)

// Digest is a SHA-256 digest. The zero digest stands for "none": no input is
// known that hashes to it.
type Digest [sha256.Size]byte

// IsZero reports whether d is no digest.
func (d Digest) IsZero() bool { return d == Digest{} }

// String gives the first eight hexadecimal digits, enough to tell digests
// apart in logs.
func (d Digest) String() string { return hex.EncodeToString(d[:4]) }

// Hex gives all of d.
func (d Digest) Hex() string { return hex.EncodeToString(d[:]) }

// Less orders digests by their bytes.
func (d Digest) Less(o Digest) bool { return string(d[:]) < string(o[:]) }

// Tag separates the domains of digests and signatures. Each ends in NUL, so
// that none is the beginning of another.
type Tag string

// The tags of version 1.
const (
	TagRequest    Tag = "pbft1/request\x00"    // one request, for signed replies
	TagBatch      Tag = "pbft1/batch\x00"      // a batch's header
	TagNull       Tag = "pbft1/null\x00"       // the null batch of one number
	TagGroup      Tag = "pbft1/group\x00"      // leaf of groups_root; what a client signs
	TagBlock      Tag = "pbft1/block\x00"      // a reply block
	TagResult     Tag = "pbft1/result\x00"     // leaf of results_root
	TagValue      Tag = "pbft1/value\x00"      // one result's bytes
	TagLeaf       Tag = "pbft1/leaf\x00"       // leaf of the history tree
	TagNode       Tag = "pbft1/node\x00"       // inner node of every tree
	TagBucket     Tag = "pbft1/bucket\x00"     // bucket of the application's state
	TagClient     Tag = "pbft1/client\x00"     // client in the client table
	TagClientPage Tag = "pbft1/clientpage\x00" // run of replies of one client
	TagCheckpoint Tag = "pbft1/ckpt\x00"       // checkpoint digest and vote
	TagViewChange Tag = "pbft1/vc\x00"         // view change
	TagNewView    Tag = "pbft1/nv\x00"         // new view and its decision
	TagReply      Tag = "pbft1/reply\x00"      // signed reply
	TagConfig     Tag = "pbft1/config\x00"     // epoch configuration
	TagRejoin     Tag = "pbft1/rejoin\x00"     // rejoin operation
	TagOpen       Tag = "pbft1/open\x00"       // opening of a session
)

// ClusterID names a cluster. It enters every digest and signature, so that
// nothing said in one cluster means anything in another.
type ClusterID [sha256.Size]byte

// String gives the first eight hexadecimal digits.
func (c ClusterID) String() string { return Digest(c).String() }

// smallHash is the longest input that is gathered on the stack: hashing it in
// one call allocates nothing.
const smallHash = 640

// AppendPrefix appends what the input of every digest with this tag begins with.
func (c ClusterID) AppendPrefix(b []byte, tag Tag) []byte { return append(append(b, tag...), c[:]...) }

// Hash returns SHA-256(tag || c || parts...).
func (c ClusterID) Hash(tag Tag, parts ...[]byte) Digest {
	size := len(tag) + len(c)
	for _, p := range parts {
		size += len(p)
	}
	if size <= smallHash {
		var buf [smallHash]byte
		b := c.AppendPrefix(buf[:0], tag)
		for _, p := range parts {
			b = append(b, p...)
		}
		return sha256.Sum256(b)
	}
	h := sha256.New()
	h.Write([]byte(tag))
	h.Write(c[:])
	for _, p := range parts {
		h.Write(p)
	}
	var d Digest
	h.Sum(d[:0])
	return d
}

// HashPair returns SHA-256(tag || c || x) and SHA-256(tag || c || y), which takes
// little longer than one of them where the processor can do both at once.
func (c ClusterID) HashPair(tag Tag, x, y []byte) (Digest, Digest) {
	var buf [64]byte
	a, b := sha256pair.Sum(c.AppendPrefix(buf[:0], tag), x, y)
	return a, b
}

// NullDigest is the digest of the null batch at n.
func (c ClusterID) NullDigest(epoch, n uint64) Digest {
	var b [16]byte
	return c.Hash(TagNull, AppendU64(AppendU64(b[:0], epoch), n))
}
