package crypto

import (
	"crypto/sha256"
	"hash"
)

// Status says what became of a request.
type Status uint8

// The outcomes of a request, numbered as on the wire.
const (
	StatusOK          Status = 1 // executed
	StatusExpired     Status = 2 // below the client's window: closed
	StatusRejected    Status = 3 // the number belongs to another request
	StatusNotExecuted Status = 4 // answers queries only
)

// String names the status as JSON and logs do.
func (s Status) String() string {
	switch s {
	case StatusOK:
		return "OK"
	case StatusExpired:
		return "EXPIRED"
	case StatusRejected:
		return "REJECTED"
	case StatusNotExecuted:
		return "NOT_EXECUTED"
	}
	return "UNKNOWN"
}

// Result is the outcome of one request. Either Value holds the result, or
// Tombstone is set and Digest and Size tell about it.
type Result struct {
	N         uint64 // sequence number of the execution; 0 if expired
	Number    uint64
	Status    Status
	Tombstone bool
	Value     []byte
	Digest    Digest // of the value; set only on tombstones
	Size      uint64 // of the value; set only on tombstones
}

// AppendResult appends one entry of a reply block's canonical list.
func AppendResult(b []byte, session uint64, r *Result) []byte {
	b = AppendU64(b, r.N)
	b = AppendU64(b, session)
	b = AppendU64(b, r.Number)
	b = append(b, byte(r.Status))
	if r.Tombstone {
		b = append(b, 1)
		b = append(b, r.Digest[:]...)
		return AppendU64(b, r.Size)
	}
	b = append(b, 0)
	return AppendBytes(b, r.Value)
}

// BlockDigest is the digest of a reply block: of the canonical list of all
// outcomes of one (client, session) in one batch, in batch order.
func (c ClusterID) BlockDigest(list []byte) Digest { return c.Hash(TagBlock, list) }

// BlockHasher computes BlockDigest without making the list. The zero value is
// ready for Reset.
type BlockHasher struct {
	h     hash.Hash
	small []byte // the end of the list, not hashed yet
	sum   Digest
}

// directValue is the size from which a value goes to the hash as it is; what is
// smaller is gathered, because a call costs as much as some hundred bytes.
const directValue = 512

// Reset begins a block.
func (b *BlockHasher) Reset(c ClusterID) {
	if b.h == nil {
		b.h = sha256.New()
	}
	b.h.Reset()
	b.small = c.AppendPrefix(b.small[:0], TagBlock)
}

// Add adds the next outcome of the block.
func (b *BlockHasher) Add(session uint64, r *Result) {
	if r.Tombstone || len(r.Value) < directValue {
		if b.small = AppendResult(b.small, session, r); len(b.small) >= 64*directValue {
			b.flush()
		}
		return
	}
	header := *r
	header.Value = nil
	b.small = AppendResult(b.small, session, &header)
	b.small = AppendU32(b.small[:len(b.small)-4], uint32(len(r.Value)))
	b.flush()
	b.h.Write(r.Value)
}

func (b *BlockHasher) flush() {
	b.h.Write(b.small)
	b.small = b.small[:0]
}

// Sum is the digest of the block.
func (b *BlockHasher) Sum() Digest {
	b.flush()
	b.h.Sum(b.sum[:0])
	return b.sum
}

// ResultLeaf is the leaf of one reply block in a batch's results_root.
func (c ClusterID) ResultLeaf(client []byte, session uint64, block Digest) Digest {
	var buf [4 + MaxClientName + 8]byte
	b := AppendBytes(buf[:0], client)
	b = AppendU64(b, session)
	return c.Hash(TagResult, b, block[:])
}

// ValueDigest is the digest of one result's bytes.
func (c ClusterID) ValueDigest(value []byte) Digest { return c.Hash(TagValue, value) }

// Outcome is what single replies are compared by.
type Outcome struct {
	N      uint64
	Status Status
	Digest Digest // of the value
}

// OutcomeOf reduces a result to what must match between replicas.
func (c ClusterID) OutcomeOf(r *Result) Outcome {
	o := Outcome{N: r.N, Status: r.Status, Digest: r.Digest}
	if !r.Tombstone {
		o.Digest = c.ValueDigest(r.Value)
	}
	return o
}
