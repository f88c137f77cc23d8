package crypto

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func TestBlockHasherComputesTheDigestOfTheList(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	var h BlockHasher
	for round := range 200 {
		c, session := ClusterID{byte(round % 2)}, rnd.Uint64()
		var list []byte
		h.Reset(c)
		for range rnd.IntN(300) {
			r := Result{N: rnd.Uint64(), Number: rnd.Uint64(), Status: Status(1 + rnd.IntN(3)), Tombstone: rnd.IntN(4) == 0}
			if r.Tombstone {
				r.Digest, r.Size = Digest{byte(round)}, rnd.Uint64()
			} else {
				r.Value = bytes.Repeat([]byte{byte(round)}, rnd.IntN(2)*rnd.IntN(3*directValue))
			}
			list = AppendResult(list, session, &r)
			h.Add(session, &r)
		}
		if got, want := h.Sum(), c.BlockDigest(list); got != want {
			t.Fatalf("round %d: %s, the list's digest is %s", round, got, want)
		}
	}
}
