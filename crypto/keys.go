package crypto

import (
	"crypto/ed25519"
	"fmt"

	"github.com/hdevalence/ed25519consensus"
)

// PublicKey is an Ed25519 public key.
type PublicKey = ed25519.PublicKey

// Signer signs with one replica's or client's private key.
type Signer struct{ key ed25519.PrivateKey }

// DevelopmentSigner derives a replica's key from the cluster id and its index.
// Everybody who knows the configuration knows it: it authenticates nothing
// and only lets a cluster without key files run on one machine.
func DevelopmentSigner(c ClusterID, index int) Signer {
	seed := c.Hash("pbft1/devkey\x00", AppendU16(nil, uint16(index)))
	return Signer{ed25519.NewKeyFromSeed(seed[:])}
}

// Sign signs tag || cluster id || canonical.
func (s Signer) Sign(c ClusterID, tag Tag, canonical []byte) (sig [SignatureSize]byte) {
	copy(sig[:], ed25519.Sign(s.key, signedBytes(c, tag, canonical)))
	return sig
}

// Public is the key that verifies what s signs.
func (s Signer) Public() PublicKey { return s.key.Public().(ed25519.PublicKey) }

// Verify checks a signature by the rules of ZIP-215: cofactored equation,
// s below the group order, non-canonical points accepted. All replicas must
// use this one rule, alone and in batches; crypto/ed25519 differs on crafted
// signatures.
func Verify(key PublicKey, c ClusterID, tag Tag, canonical, sig []byte) error {
	if len(key) != ed25519.PublicKeySize {
		return fmt.Errorf("public key of %d bytes, need %d", len(key), ed25519.PublicKeySize)
	}
	if !ed25519consensus.Verify(key, signedBytes(c, tag, canonical), sig) {
		return fmt.Errorf("signature does not verify")
	}
	return nil
}

func signedBytes(c ClusterID, tag Tag, canonical []byte) []byte {
	b := make([]byte, 0, len(tag)+len(c)+len(canonical))
	b = append(b, tag...)
	b = append(b, c[:]...)
	return append(b, canonical...)
}
