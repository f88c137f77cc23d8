package crypto

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
