package wire

import (
	"fmt"
	"time"

	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
)

// Parse sets m to the pbft.v1.SessionResponse in b. Byte slices of m alias b;
// all else is fresh.
func (m *SessionResponse) Parse(b []byte) error {
	*m = SessionResponse{}
	results, err := m.allocate(b)
	if err != nil {
		return fmt.Errorf("session response: %w", err)
	}
	var cluster []byte
	f := fields{b: b}
	for f.next() {
		switch f.key {
		case 1<<3 | packed:
			if m.Info == nil {
				m.Info = new(ServerInfo)
			}
			f.in("info", m.Info.parse(f.data(), &cluster))
		case 2<<3 | packed:
			m.Blocks = append(m.Blocks, Block{})
			k := &m.Blocks[len(m.Blocks)-1]
			results, err = k.parse(f.data(), results)
			f.at("blocks", len(m.Blocks)-1, err)
		case 3<<3 | packed:
			m.Singles = append(m.Singles, Single{})
			f.at("singles", len(m.Singles)-1, m.Singles[len(m.Singles)-1].parse(f.data()))
		case 4<<3 | packed:
			m.Refusals = append(m.Refusals, Refusal{})
			f.at("refusals", len(m.Refusals)-1, m.Refusals[len(m.Refusals)-1].parse(f.data()))
		}
	}
	if m.Info != nil {
		f.in("info", m.Info.check(cluster))
	}
	if f.err != nil {
		return fmt.Errorf("session response: %w", f.err)
	}
	return nil
}

// allocate counts what is in b, checks the limits, and makes room for exactly
// that: one array holds the results of all blocks.
func (m *SessionResponse) allocate(b []byte) (results []crypto.Result, err error) {
	var blocks, singles, refusals, total int
	f := fields{b: b}
	for f.next() {
		switch f.key {
		case 2<<3 | packed:
			n, err := count(f.data(), 5<<3|packed)
			f.at("blocks", blocks, err)
			blocks++
			total += n
		case 3<<3 | packed:
			singles++
		case 4<<3 | packed:
			refusals++
		}
	}
	f.check(atMost("blocks", blocks, MaxItems))
	f.check(atMost("singles", singles, MaxItems))
	f.check(atMost("refusals", refusals, MaxItems))
	f.check(atMost("results of all blocks", total, MaxRequests))
	if f.err != nil {
		return nil, f.err
	}
	m.Blocks = room[Block](blocks)
	m.Singles = room[Single](singles)
	m.Refusals = room[Refusal](refusals)
	return room[crypto.Result](total), nil
}

// parse merges b into s, and leaves the cluster id to check: of a field that
// occurs twice the last one counts.
func (s *ServerInfo) parse(b []byte, cluster *[]byte) error {
	f := fields{b: b}
	for f.next() {
		switch f.key {
		case 1<<3 | varint:
			s.Index = int(uint32(f.num))
		case 2<<3 | varint:
			s.Replicas = int(uint32(f.num))
		case 3<<3 | varint:
			s.View = f.num
		case 4<<3 | varint:
			s.Epoch = f.num
		case 5<<3 | packed:
			*cluster = f.data()
		case 6<<3 | varint:
			s.ClientWindow = f.num
		case 7<<3 | varint:
			s.MaxGroup = int(uint32(f.num))
		case 8<<3 | varint:
			s.MaxGroupBytes = int(uint32(f.num))
		case 9<<3 | varint:
			s.MaxOperationBytes = int(uint32(f.num))
		case 10<<3 | varint:
			s.Normal = f.bool()
		}
	}
	return f.err
}

func (s *ServerInfo) check(cluster []byte) error {
	var f fields
	f.check(atMost("index", s.Index, maxIndex))
	f.check(atMost("replicas", s.Replicas, maxIndex))
	f.digest((*[32]byte)(&s.Cluster), cluster, "cluster_id")
	return f.err
}

// parse takes the block's results from the end of slab, which has room, and
// returns the longer slab.
func (k *Block) parse(b []byte, slab []crypto.Result) ([]crypto.Result, error) {
	f, start := fields{b: b}, len(slab)
	var digest []byte
	for f.next() {
		switch f.key {
		case 1<<3 | varint:
			k.Handle = uint32(f.num)
		case 2<<3 | varint:
			k.N = f.num
		case 3<<3 | varint:
			k.View = f.num
		case 4<<3 | packed:
			digest = f.data()
		case 5<<3 | packed:
			slab = slab[:len(slab)+1]
			f.at("results", len(slab)-1-start, parseResult(&slab[len(slab)-1], f.data()))
		}
	}
	f.digest((*[32]byte)(&k.Digest), digest, "digest")
	if len(slab) > start {
		k.Results = slab[start:len(slab):len(slab)]
	}
	return slab, f.err
}

func parseResult(r *crypto.Result, b []byte) error {
	var o outcome
	f := fields{b: b}
	for f.next() {
		switch f.key {
		case 1<<3 | varint:
			r.N = f.num
		case 2<<3 | varint:
			r.Number = f.num
		case 3<<3 | varint:
			o.status = f.num
		case 4<<3 | packed:
			o = outcome{status: o.status, value: f.data()}
		case 5<<3 | packed:
			o.tombstoned(&f)
		}
	}
	o.store(r, &f)
	return f.err
}

// outcome gathers the status and the oneof of a result, of which the member
// that comes last counts. Its checks wait until then.
type outcome struct {
	status    uint64
	value     []byte
	tombstone bool
	digest    []byte
	size      uint64
}

// tombstoned merges the tombstone in f's present field into o.
func (o *outcome) tombstoned(f *fields) {
	o.value, o.tombstone = nil, true
	t := fields{b: f.data()}
	for t.next() {
		switch t.key {
		case 1<<3 | packed:
			o.digest = t.data()
		case 2<<3 | varint:
			o.size = t.num
		}
	}
	f.in("tombstone", t.err)
}

// store checks o and sets r to it.
func (o *outcome) store(r *crypto.Result, f *fields) {
	status := int32(o.status)
	if status < int32(crypto.StatusOK) || status > int32(crypto.StatusNotExecuted) {
		f.fail("status %d, allowed are 1 to 4", status)
		return
	}
	r.Status, r.Value = crypto.Status(status), o.value
	if !o.tombstone {
		return
	}
	if len(o.digest) != len(r.Digest) {
		f.fail("tombstone.digest of %d bytes, need %d", len(o.digest), len(r.Digest))
		return
	}
	r.Tombstone, r.Size = true, o.size
	copy(r.Digest[:], o.digest)
}

func (s *Single) parse(b []byte) error {
	var o outcome
	f, replied := fields{b: b}, false
	for f.next() {
		switch f.key {
		case 1<<3 | varint:
			s.Handle = uint32(f.num)
		case 2<<3 | packed:
			f.in("reply", s.parseReply(f.data(), &o))
			replied = true
		}
	}
	if !replied {
		f.fail("reply is missing")
	}
	o.store(&s.Result, &f)
	f.check(atMost("replica", s.Replica, maxIndex))
	return f.err
}

// parseReply merges b into s and o.
func (s *Single) parseReply(b []byte, o *outcome) error {
	f := fields{b: b}
	for f.next() {
		switch f.key {
		case 1<<3 | varint:
			s.View = f.num
		case 2<<3 | varint:
			s.Result.N = f.num
		case 3<<3 | packed:
			s.Client = string(f.text("client"))
		case 4<<3 | fixed64:
			s.Session = f.num
		case 5<<3 | varint:
			s.Result.Number = f.num
		case 6<<3 | varint:
			o.status = f.num
		case 7<<3 | varint:
			s.Replica = int(uint32(f.num))
		case 8<<3 | packed:
			*o = outcome{status: o.status, value: f.data()}
		case 9<<3 | packed:
			o.tombstoned(&f)
		}
	}
	return f.err
}

func (r *Refusal) parse(b []byte) error {
	f := fields{b: b}
	for f.next() {
		switch f.key {
		case 1<<3 | varint:
			r.Handle = uint32(f.num)
		case 2<<3 | varint:
			r.First = f.num
		case 3<<3 | varint:
			r.Last = f.num
		case 4<<3 | varint:
			r.Reason = pbftv1.RefusalReason(f.num)
		case 5<<3 | packed:
			r.Message = string(f.text("message"))
		case 6<<3 | varint:
			r.RetryAfter = time.Duration(uint32(f.num)) * time.Millisecond
		}
	}
	return f.err
}
