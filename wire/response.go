package wire

import (
	"math"
	"time"

	"github.com/pbft-go/pbft/crypto"
)

// maxIndex is the largest replica index, and number of replicas, that fits
// into signed bytes.
const maxIndex = math.MaxUint16

// Append appends m as a pbft.v1.SessionResponse.
func (m *SessionResponse) Append(b []byte) []byte {
	if m.Info != nil {
		b = m.Info.append(b)
	}
	for i := range m.Blocks {
		b = m.Blocks[i].append(b)
	}
	for i := range m.Singles {
		b = m.Singles[i].append(b)
	}
	for i := range m.Refusals {
		b = m.Refusals[i].append(b)
	}
	return b
}

func (s *ServerInfo) append(b []byte) []byte {
	size := sizeOptVarint(uint64(s.Index)) + sizeOptVarint(uint64(s.Replicas)) + sizeOptVarint(s.View) + sizeOptVarint(s.Epoch) +
		sizeOptBytes(len(s.Cluster)) + sizeOptVarint(s.ClientWindow) + sizeOptVarint(uint64(s.MaxGroup)) +
		sizeOptVarint(uint64(s.MaxGroupBytes)) + sizeOptVarint(uint64(s.MaxOperationBytes)) + sizeOptBool(s.Normal)
	b = appendLength(b, 1, size)
	b = appendOptVarint(b, 1, uint64(s.Index))
	b = appendOptVarint(b, 2, uint64(s.Replicas))
	b = appendOptVarint(b, 3, s.View)
	b = appendOptVarint(b, 4, s.Epoch)
	b = appendOptBytes(b, 5, s.Cluster[:])
	b = appendOptVarint(b, 6, s.ClientWindow)
	b = appendOptVarint(b, 7, uint64(s.MaxGroup))
	b = appendOptVarint(b, 8, uint64(s.MaxGroupBytes))
	b = appendOptVarint(b, 9, uint64(s.MaxOperationBytes))
	return appendOptBool(b, 10, s.Normal)
}

func (k *Block) append(b []byte) []byte {
	size := sizeOptVarint(uint64(k.Handle)) + sizeOptVarint(k.N) + sizeOptVarint(k.View)
	if !k.Digest.IsZero() {
		size += sizeLength(len(k.Digest))
	}
	for i := range k.Results {
		size += sizeLength(resultSize(&k.Results[i]))
	}
	b = appendLength(b, 2, size)
	b = appendOptVarint(b, 1, uint64(k.Handle))
	b = appendOptVarint(b, 2, k.N)
	b = appendOptVarint(b, 3, k.View)
	if !k.Digest.IsZero() {
		b = appendOptBytes(b, 4, k.Digest[:])
	}
	for i := range k.Results {
		b = appendResult(b, &k.Results[i])
	}
	return b
}

func resultSize(r *crypto.Result) int {
	return sizeOptVarint(r.N) + sizeOptVarint(r.Number) + sizeOptVarint(uint64(r.Status)) + outcomeSize(r)
}

func appendResult(b []byte, r *crypto.Result) []byte {
	b = appendLength(b, 5, resultSize(r))
	b = appendOptVarint(b, 1, r.N)
	b = appendOptVarint(b, 2, r.Number)
	b = appendOptVarint(b, 3, uint64(r.Status))
	return appendOutcome(b, 4, r)
}

func outcomeSize(r *crypto.Result) int {
	if r.Tombstone {
		return sizeLength(tombstoneSize(r))
	}
	return sizeLength(len(r.Value))
}

func tombstoneSize(r *crypto.Result) int {
	return sizeLength(len(r.Digest)) + sizeOptVarint(r.Size)
}

// appendOutcome writes the oneof of a result: field num is the value, the next
// one the tombstone.
func appendOutcome(b []byte, num int, r *crypto.Result) []byte {
	if !r.Tombstone {
		return append(appendLength(b, num, len(r.Value)), r.Value...)
	}
	b = appendLength(b, num+1, tombstoneSize(r))
	b = appendOptBytes(b, 1, r.Digest[:])
	return appendOptVarint(b, 2, r.Size)
}

func (s *Single) append(b []byte) []byte {
	r := &s.Result
	reply := sizeOptVarint(s.View) + sizeOptVarint(r.N) + sizeOptBytes(len(s.Client)) + sizeOptFixed64(s.Session) +
		sizeOptVarint(r.Number) + sizeOptVarint(uint64(r.Status)) + sizeOptVarint(uint64(s.Replica)) + outcomeSize(r)
	b = appendLength(b, 3, sizeOptVarint(uint64(s.Handle))+sizeLength(reply))
	b = appendOptVarint(b, 1, uint64(s.Handle))
	b = appendLength(b, 2, reply)
	b = appendOptVarint(b, 1, s.View)
	b = appendOptVarint(b, 2, r.N)
	b = appendOptBytes(b, 3, s.Client)
	b = appendOptFixed64(b, 4, s.Session)
	b = appendOptVarint(b, 5, r.Number)
	b = appendOptVarint(b, 6, uint64(r.Status))
	b = appendOptVarint(b, 7, uint64(s.Replica))
	return appendOutcome(b, 8, r)
}

func (r *Refusal) append(b []byte) []byte {
	reason, retry := uint64(r.Reason), milliseconds(r.RetryAfter)
	size := sizeOptVarint(uint64(r.Handle)) + sizeOptVarint(r.First) + sizeOptVarint(r.Last) + sizeOptVarint(reason) +
		sizeOptBytes(len(r.Message)) + sizeOptVarint(retry)
	b = appendLength(b, 4, size)
	b = appendOptVarint(b, 1, uint64(r.Handle))
	b = appendOptVarint(b, 2, r.First)
	b = appendOptVarint(b, 3, r.Last)
	b = appendOptVarint(b, 4, reason)
	b = appendOptBytes(b, 5, r.Message)
	return appendOptVarint(b, 6, retry)
}

// milliseconds rounds d up, so that a short pause does not become "never".
func milliseconds(d time.Duration) uint64 {
	ms := (max(d, 0) + time.Millisecond - 1) / time.Millisecond
	return uint64(min(ms, math.MaxUint32))
}
