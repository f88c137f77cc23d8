package crypto

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"testing"
)

func TestSignaturesVerify(t *testing.T) {
	s := DevelopmentSigner(testCluster, 2)
	message := []byte("message")
	sig := s.Sign(testCluster, TagCheckpoint, message)
	if err := Verify(s.Public(), testCluster, TagCheckpoint, message, sig[:]); err != nil {
		t.Fatal(err)
	}
	if !ed25519.Verify(s.Public(), append(append([]byte(TagCheckpoint), testCluster[:]...), message...), sig[:]) {
		t.Error("honest signatures are plain Ed25519 over tag, cluster and message")
	}
}

func TestSignaturesOfAnythingElseDoNotVerify(t *testing.T) {
	s := DevelopmentSigner(testCluster, 2)
	message := []byte("message")
	sig := s.Sign(testCluster, TagCheckpoint, message)
	flipped := sig
	flipped[0] ^= 1
	for name, err := range map[string]error{
		"another message":     Verify(s.Public(), testCluster, TagCheckpoint, []byte("massage"), sig[:]),
		"another tag":         Verify(s.Public(), testCluster, TagViewChange, message, sig[:]),
		"another cluster":     Verify(s.Public(), ClusterID{}, TagCheckpoint, message, sig[:]),
		"another replica":     Verify(DevelopmentSigner(testCluster, 3).Public(), testCluster, TagCheckpoint, message, sig[:]),
		"a flipped bit":       Verify(s.Public(), testCluster, TagCheckpoint, message, flipped[:]),
		"no signature":        Verify(s.Public(), testCluster, TagCheckpoint, message, nil),
		"a short signature":   Verify(s.Public(), testCluster, TagCheckpoint, message, sig[:63]),
		"a long signature":    Verify(s.Public(), testCluster, TagCheckpoint, message, append(sig[:], 0)),
		"a short public key":  Verify(s.Public()[:31], testCluster, TagCheckpoint, message, sig[:]),
		"no public key":       Verify(nil, testCluster, TagCheckpoint, message, sig[:]),
		"no point on a curve": Verify(bytes.Repeat([]byte{2}, 32), testCluster, TagCheckpoint, message, sig[:]),
	} {
		if err == nil {
			t.Errorf("%s: verifies", name)
		}
	}
}

func TestDevelopmentKeysDiffer(t *testing.T) {
	seen := make(map[string]bool)
	for index := range 8 {
		seen[string(DevelopmentSigner(testCluster, index).Public())] = true
		seen[string(DevelopmentSigner(ClusterID{}, index).Public())] = true
	}
	if len(seen) != 16 {
		t.Errorf("%d keys, want 16", len(seen))
	}
}

// smallOrder are all encodings of the eight points of small order: the
// canonical ones, then those that are not canonical.
var smallOrder = []string{
	"0100000000000000000000000000000000000000000000000000000000000000",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"0000000000000000000000000000000000000000000000000000000000000080",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
	"0000000000000000000000000000000000000000000000000000000000000000",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
	"0100000000000000000000000000000000000000000000000000000000000080",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
}

// By ZIP-215 every message has the signature (R, 0) under the key A if A and R
// are of small order, however they are encoded. Rules without cofactor, such
// as crypto/ed25519's, judge these signatures otherwise, and differently from
// message to message: replicas that mixed the rules would part.
func TestVerifyFollowsZIP215(t *testing.T) {
	message := []byte("Zcash")
	signed := append(append([]byte(TagReply), testCluster[:]...), message...)
	differ := 0
	for _, key := range smallOrder {
		for _, point := range smallOrder {
			a, err := hex.DecodeString(key)
			if err != nil {
				t.Fatal(err)
			}
			sig, err := hex.DecodeString(point)
			if err != nil {
				t.Fatal(err)
			}
			sig = append(sig, make([]byte, 32)...)
			if err := Verify(a, testCluster, TagReply, message, sig); err != nil {
				t.Errorf("key %s, signature %s || 0: %v", key, point, err)
			}
			if !ed25519.Verify(a, signed, sig) {
				differ++
			}
		}
	}
	if differ == 0 {
		t.Error("crypto/ed25519 agrees on all of them, so this test shows nothing")
	}
}

func TestVerifyRefusesScalarsAboveTheOrder(t *testing.T) {
	s := DevelopmentSigner(testCluster, 0)
	sig := s.Sign(testCluster, TagReply, []byte("m"))
	// s + l means the same to the equation: were it accepted, anybody could
	// make a second signature of a first.
	order, err := hex.DecodeString("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
	if err != nil {
		t.Fatal(err)
	}
	carry := 0
	for i, b := range order {
		sum := int(sig[32+i]) + int(b) + carry
		sig[32+i], carry = byte(sum), sum>>8
	}
	if err := Verify(s.Public(), testCluster, TagReply, []byte("m"), sig[:]); err == nil {
		t.Error("s + l verifies")
	}
}
