package message

import (
	"fmt"

	"github.com/pbft-go/pbft/crypto"
)

// Header describes a batch. The view is not in it: a batch keeps its digest
// when a later view proposes it again.
type Header struct {
	Epoch      uint64
	N          uint64
	WallUS     int64  // proposer's clock, microseconds since 1970
	Count      uint32 // requests
	Bytes      uint32 // length of the body
	GroupsRoot crypto.Digest
}

// Append appends the canonical bytes.
func (h *Header) Append(b []byte) []byte {
	b = crypto.AppendU64(b, h.Epoch)
	b = crypto.AppendU64(b, h.N)
	b = crypto.AppendU64(b, uint64(h.WallUS))
	b = crypto.AppendU32(b, h.Count)
	b = crypto.AppendU32(b, h.Bytes)
	return append(b, h.GroupsRoot[:]...)
}

// ReadHeader reads what Append appended.
func ReadHeader(r *crypto.Reader) Header {
	return Header{Epoch: r.U64(), N: r.U64(), WallUS: int64(r.U64()), Count: r.U32(), Bytes: r.U32(), GroupsRoot: r.Digest()}
}

// Digest is the batch digest, H(batch || header).
func (h *Header) Digest(c crypto.ClusterID) crypto.Digest {
	var buf [80]byte
	return c.Hash(crypto.TagBatch, h.Append(buf[:0]))
}

// Batch is a header with its body, checked by ParseBatch or made by NewBatch:
// the header is consistent with the body and every group has a valid shape.
type Batch struct {
	Header Header
	Digest crypto.Digest
	Body   []byte
	Groups []crypto.GroupView // in order; alias Body
}

// Limits bound a batch; they belong to the epoch configuration.
type Limits struct {
	MaxBatch      int // requests
	MaxBatchBytes int // bytes of the body
}

// ParseBatch takes a received body apart and checks rules 5 and 6 of the
// acceptance of a pre-prepare: header and body agree, the root is recomputed
// over the groups as received, sizes are within limits, groups are valid.
func ParseBatch(c crypto.ClusterID, lim Limits, h Header, body []byte) (*Batch, error) {
	if len(body) > lim.MaxBatchBytes {
		return nil, fmt.Errorf("batch %d: body of %d bytes, the most allowed is %d", h.N, len(body), lim.MaxBatchBytes)
	}
	if int(h.Bytes) != len(body) {
		return nil, fmt.Errorf("batch %d: header says %d bytes, the body has %d", h.N, h.Bytes, len(body))
	}
	groups, count, err := parseBody(body)
	if err != nil {
		return nil, fmt.Errorf("batch %d: %w", h.N, err)
	}
	if count > lim.MaxBatch || count != int(h.Count) {
		return nil, fmt.Errorf("batch %d: %d requests, header says %d, the most allowed is %d", h.N, count, h.Count, lim.MaxBatch)
	}
	if root := groupsRoot(c, groups); root != h.GroupsRoot {
		return nil, fmt.Errorf("batch %d: groups hash to %s, header says %s", h.N, root, h.GroupsRoot)
	}
	return &Batch{Header: h, Digest: h.Digest(c), Body: body, Groups: groups}, nil
}

// minGroupBytes is the size of the smallest group in a body: its length, an
// one-letter client, session, count, one empty request, no signature, origin.
const minGroupBytes = 4 + 5 + 8 + 4 + 25 + 4 + 2

func parseBody(body []byte) (groups []crypto.GroupView, count int, err error) {
	r := crypto.NewReader(body)
	k := r.U32()
	if uint64(k)*minGroupBytes > uint64(len(body)) {
		return nil, 0, fmt.Errorf("%d groups do not fit into %d bytes", k, len(body))
	}
	groups = make([]crypto.GroupView, 0, k)
	for range k {
		g, err := crypto.ParseGroup(r.Bytes())
		if r.Err() != nil {
			return nil, 0, r.Err()
		}
		if err == nil {
			err = CheckGroup(&g)
		}
		if err != nil {
			return nil, 0, err
		}
		count += g.Count
		groups = append(groups, g)
	}
	return groups, count, r.Done()
}

// BodySize is the size of a body that holds one group alone.
func BodySize(g *crypto.GroupView) int { return 4 + 4 + len(g.Raw) }

// NewBatch makes a batch of groups. h.Count, h.Bytes and h.GroupsRoot are set
// here. The body is one new slice; its groups are those given, copied.
func NewBatch(c crypto.ClusterID, h Header, groups []crypto.GroupView) *Batch {
	size := 4
	for i := range groups {
		size += 4 + len(groups[i].Raw)
	}
	b := &Batch{Body: make([]byte, 0, size), Groups: make([]crypto.GroupView, len(groups))}
	b.Body = crypto.AppendU32(b.Body, uint32(len(groups)))
	count := 0
	for i := range groups {
		b.Body = crypto.AppendBytes(b.Body, groups[i].Raw)
		count += groups[i].Count
	}
	at := 4
	for i := range groups {
		n := len(groups[i].Raw)
		b.Groups[i] = groups[i].Rebase(b.Body[at+4 : at+4+n : at+4+n])
		at += 4 + n
	}
	h.Count, h.Bytes, h.GroupsRoot = uint32(count), uint32(len(b.Body)), groupsRoot(c, b.Groups)
	b.Header, b.Digest = h, h.Digest(c)
	return b
}

func groupsRoot(c crypto.ClusterID, groups []crypto.GroupView) crypto.Digest {
	leaves := make([]crypto.Digest, len(groups))
	i := 0
	for ; i+1 < len(groups); i += 2 {
		leaves[i], leaves[i+1] = c.HashPair(crypto.TagGroup, groups[i].Raw, groups[i+1].Raw)
	}
	if i < len(groups) {
		leaves[i] = c.Hash(crypto.TagGroup, groups[i].Raw)
	}
	return c.MerkleRoot(leaves)
}
