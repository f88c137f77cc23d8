package execution

import (
	"errors"
	"fmt"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// How the state lies on disk. A save changes all of it at once, and says in
// tablePosition of which batch it is the state. These are formats: a change is a
// new layoutVersion.
//
//	b u16 bucket                its entries, with the digests of long values; no empty ones
//	c u64 id                    a client: name, low, last execution
//	h u64 n                     a batch of the history, without its body
//	i u64 n                     the body
//	p u64 id, u64 index         a page of the client's outcomes
//	s                           the position
//	v u16 bucket, digest        a long value of the bucket, once if several keys have it
const (
	tableBuckets  = 'b'
	tableClients  = 'c'
	tableHistory  = 'h'
	tableBodies   = 'i'
	tablePages    = 'p'
	tablePosition = 's'
	tableValues   = 'v'

	layoutVersion = 1
)

func keyOf(b []byte, table byte, id uint64) []byte { return crypto.AppendU64(append(b[:0], table), id) }

func bucketKey(b []byte, i int) []byte {
	return crypto.AppendU16(append(b[:0], tableBuckets), uint16(i))
}

func valueKey(b []byte, bucket int, d []byte) []byte {
	return append(crypto.AppendU16(append(b[:0], tableValues), uint16(bucket)), d...)
}

func pageKey(b []byte, id, index uint64) []byte {
	return crypto.AppendU64(keyOf(b, tablePages, id), index)
}

// scanTable scans a whole table.
func scanTable(db StateStore, table byte, f func(key, value []byte) error) error {
	return db.Scan([]byte{table}, []byte{table + 1}, f)
}

// position says which state is on disk, and what belongs to it beside the
// tables.
type position struct {
	state    message.State
	frontier crypto.Frontier
	executed uint64
	window   uint64 // W, which pages depend on
	nextID   uint64 // of clients
	history  []span // oldest first
}

// span is a part of the history on disk: between first and last, numbers are
// missing if a state came from other replicas.
type span struct {
	first, last uint64
	bytes       int64 // roughly
}

func (p *position) append(b []byte, c crypto.ClusterID) []byte {
	b = crypto.AppendU16(b, layoutVersion)
	b = append(b, c[:]...)
	b = p.state.Append(b)
	b = crypto.AppendBytes(b, appendFrontier(nil, &p.frontier))
	b = crypto.AppendU64(b, p.executed)
	b = crypto.AppendU64(b, p.window)
	b = crypto.AppendU64(b, p.nextID)
	b = crypto.AppendU32(b, uint32(len(p.history)))
	for _, h := range p.history {
		b = crypto.AppendU64(crypto.AppendU64(b, h.first), h.last)
		b = crypto.AppendU64(b, uint64(h.bytes))
	}
	d := c.ValueDigest(b)
	return append(b, d[:]...)
}

// ErrDamaged is in the errors of what cannot be read back as it was saved.
var ErrDamaged = errors.New("the disk is damaged: this replica must not take part with what is left of its state")

func damaged(format string, args ...any) error {
	return fmt.Errorf("execution: saved state: %w: %w", fmt.Errorf(format, args...), ErrDamaged)
}

// readPosition reads which state is on disk; nil: there is none.
func readPosition(cfg *Config, db StateStore) (*position, error) {
	b, ok, err := db.Get([]byte{tablePosition})
	if err != nil {
		return nil, fmt.Errorf("execution: saved state: %w", err)
	}
	if !ok {
		return nil, nil
	}
	r := crypto.NewReader(b)
	if v := r.U16(); v != layoutVersion {
		return nil, fmt.Errorf("execution: the saved state has layout %d, this program reads %d: use the one that wrote it", v, layoutVersion)
	}
	if c := crypto.ClusterID(r.Digest()); c != cfg.Cluster {
		return nil, fmt.Errorf("execution: the saved state is one of cluster %s, this one is %s", c, cfg.Cluster)
	}
	end := len(b) - len(crypto.Digest{})
	if end < 0 || cfg.Cluster.ValueDigest(b[:end]) != crypto.Digest(b[end:]) {
		return nil, damaged("the position is not what was written")
	}
	p := &position{state: message.ReadState(&r)}
	peaks := r.Bytes()
	p.executed, p.window, p.nextID = r.U64(), r.U64(), r.U64()
	for n := r.U32(); n > 0 && r.Err() == nil; n-- {
		p.history = append(p.history, span{r.U64(), r.U64(), int64(r.U64())})
	}
	r.Digest()
	if err := r.Done(); err != nil {
		return nil, damaged("position: %w", err)
	}
	if p.window != uint64(cfg.ClientWindow) {
		return nil, fmt.Errorf("execution: the saved state has a client window of %d, the configuration says %d: all replicas must have kept it", p.window, cfg.ClientWindow)
	}
	if p.frontier, err = parseFrontier(cfg.Cluster, p.state.HistoryRoot, p.state.HistorySize, peaks); err != nil {
		return nil, damaged("%w", err)
	}
	return p, nil
}
