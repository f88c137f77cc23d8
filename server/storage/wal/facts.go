package wal

import (
	"slices"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
)

// fact is a record that stands until another one takes its place, however old
// it grows. It is kept encoded: a new segment begins with a copy of all.
type fact struct {
	kind  consensus.RecordKind
	key   uint64 // tells apart those of one kind that stand together
	epoch uint64 // of a new view or a view change
	bytes []byte
}

// facts are what stands, in the order in which a replica takes them in: where
// it belongs first, then its proofs by number, then its votes and views.
type facts struct {
	all  []fact
	free [][]byte // memory of those that stand no more
}

// order is the place of a kind among the facts, 0 for a record that is none.
func order(k consensus.RecordKind) int { return 1 + slices.Index(factKinds[:], k) }

var factKinds = [...]consensus.RecordKind{
	consensus.RecJoined, consensus.RecLost, consensus.RecStarted, consensus.RecSeen,
	consensus.RecStable, consensus.RecCheckpoint, consensus.RecNewView, consensus.RecViewChange,
}

// stableKept is how many stable checkpoints stand: the state of the one before
// the newest is kept too, and needs its proof.
const stableKept = 2

// note takes a record in.
func (s *facts) note(r *consensus.Record) {
	if order(r.Kind) == 0 {
		return
	}
	switch r.Kind {
	case consensus.RecSeen:
		s.put(fact{kind: r.Kind, key: uint64(r.Replica)}, r)
	case consensus.RecStable:
		s.stable(r)
	case consensus.RecCheckpoint:
		if proof := s.newest(consensus.RecStable); proof == nil || r.N > proof.key {
			s.put(fact{kind: r.Kind, key: r.N}, r)
		}
	case consensus.RecNewView, consensus.RecViewChange:
		s.view(r)
	default:
		s.put(fact{kind: r.Kind}, r)
	}
}

// stable keeps the newest proofs, and drops the own votes that they settle.
func (s *facts) stable(r *consensus.Record) {
	s.put(fact{kind: r.Kind, key: r.N}, r)
	count := 0
	for i := len(s.all) - 1; i >= 0; i-- {
		if s.all[i].kind != consensus.RecStable {
			continue
		}
		if count++; count > stableKept {
			s.remove(i)
		}
	}
	newest := s.newest(consensus.RecStable).key
	for i := len(s.all) - 1; i >= 0; i-- {
		if f := &s.all[i]; f.kind == consensus.RecCheckpoint && f.key <= newest {
			s.remove(i)
		}
	}
}

// view keeps the newest new view, and the newest view change if it is for a
// higher view. Of equal new views the later one stands: it is the one that the
// replica holds.
func (s *facts) view(r *consensus.Record) {
	f := fact{kind: r.Kind, epoch: epochOf(r.Msg), key: r.View}
	old, installed := s.newest(r.Kind), s.newest(consensus.RecNewView)
	switch {
	case old != nil && f.before(old):
		return
	case r.Kind == consensus.RecViewChange && installed != nil && !installed.before(&f):
		return
	}
	if old != nil {
		s.remove(s.index(old.kind, old.key))
	}
	s.put(f, r)
	if asked := s.newest(consensus.RecViewChange); r.Kind == consensus.RecNewView && asked != nil && !f.before(asked) {
		s.remove(s.index(asked.kind, asked.key))
	}
}

// before compares two facts about views.
func (f *fact) before(o *fact) bool {
	return f.epoch < o.epoch || f.epoch == o.epoch && f.key < o.key
}

func epochOf(m message.Message) uint64 {
	switch m := m.(type) {
	case *message.NewView:
		return m.Epoch
	case *message.ViewChange:
		return m.Epoch
	default:
		return 0
	}
}

// newest is the fact of a kind with the highest key, nil if there is none.
func (s *facts) newest(k consensus.RecordKind) *fact {
	for i := len(s.all) - 1; i >= 0; i-- {
		if s.all[i].kind == k {
			return &s.all[i]
		}
	}
	return nil
}

func (s *facts) index(k consensus.RecordKind, key uint64) int {
	return slices.IndexFunc(s.all, func(f fact) bool { return f.kind == k && f.key == key })
}

// put sets a fact, in its place.
func (s *facts) put(f fact, r *consensus.Record) {
	if i := s.index(f.kind, f.key); i >= 0 {
		s.remove(i)
	}
	if n := len(s.free); n > 0 {
		f.bytes, s.free = s.free[n-1][:0], s.free[:n-1]
	}
	f.bytes = appendRecord(f.bytes, r)
	at := len(s.all)
	for at > 0 && behind(&s.all[at-1], &f) {
		at--
	}
	s.all = slices.Insert(s.all, at, f)
}

// behind reports whether a stands behind b.
func behind(a, b *fact) bool {
	x, y := order(a.kind), order(b.kind)
	return x > y || x == y && a.key > b.key
}

func (s *facts) remove(i int) {
	if len(s.free) < stableKept {
		s.free = append(s.free, s.all[i].bytes)
	}
	s.all = slices.Delete(s.all, i, i+1)
}

// append appends all facts, as appendRecords does.
func (s *facts) append(b []byte) []byte {
	b = crypto.AppendU32(b, uint32(len(s.all)))
	for i := range s.all {
		b = append(b, s.all[i].bytes...)
	}
	return b
}

// numberOf is the highest sequence number that a record is about and that must
// be released before its segment may go, 0 for none. A new view chooses digests
// for numbers, up to one that is prepared in its set.
func numberOf(r *consensus.Record) (n uint64) {
	switch r.Kind {
	case consensus.RecAccept, consensus.RecPrepared, consensus.RecCommitted, consensus.RecBody:
		return r.N
	case consensus.RecNewView:
		for _, m := range r.Set {
			for i := range m.P {
				n = max(n, m.P[i].N)
			}
		}
	}
	return n
}
