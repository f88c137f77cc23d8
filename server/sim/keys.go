package sim

import (
	"encoding/binary"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
)

// Signatures are symbolic: a hash of the signer's secret and of what is signed.
// They cost a hash, and whoever has no secret cannot make one. Liars get the
// secrets of liars only.

// secret is what its owner signs with.
type secret [40]byte

// keys hands out secrets.
type keys struct {
	cluster crypto.ClusterID
	seed    uint64
}

func (k *keys) replica(i int) (s secret) {
	binary.BigEndian.PutUint64(s[:], k.seed)
	binary.BigEndian.PutUint64(s[8:], uint64(i)+1)
	return s
}

func (k *keys) client(name string) (s secret) {
	d := k.cluster.Hash(crypto.TagOpen, []byte(name))
	binary.BigEndian.PutUint64(s[:], k.seed)
	copy(s[8:], d[:])
	return s
}

func (k *keys) sign(s *secret, tag crypto.Tag, signed []byte) (sig [crypto.SignatureSize]byte) {
	d := k.cluster.Hash(tag, s[:], signed)
	copy(sig[:], d[:])
	copy(sig[len(d):], d[:])
	return sig
}

// signer is what a replica's core signs with.
func (k *keys) signer(i int) consensus.SignFunc {
	s := k.replica(i)
	return func(tag crypto.Tag, b []byte) [crypto.SignatureSize]byte { return k.sign(&s, tag, b) }
}

// signGroup makes the canonical bytes of a group, signed by its client.
func (k *keys) signGroup(g *crypto.Group) crypto.GroupView {
	s := k.client(g.Client)
	sig := k.sign(&s, crypto.TagGroup, g.AppendSigned(nil))
	g.Signature = sig[:]
	v, err := crypto.ParseGroup(g.Append(nil))
	if err != nil {
		panic(err) // the caller made it
	}
	return v
}

// groupSigned reports whether the client that a group names signed it.
func (k *keys) groupSigned(g *crypto.GroupView) bool {
	s := k.client(string(g.Client))
	sig := k.sign(&s, crypto.TagGroup, g.Signed())
	return string(sig[:]) == string(g.Signature)
}
