package sim

import (
	"math/bits"
	"slices"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
)

// What a replica has on its disk is a ledger of its own for the checker: what is
// sent must stand there, and what stands there must come back.

// ledger is what the records of a replica say that are durable.
type ledger struct {
	facts     map[fact]crypto.Digest
	prepared  map[uint64]message.PQ   // R2 by number, of the highest view
	accepted  map[uint64][]message.PQ // R1 by number: each digest, with the highest view
	committed map[uint64]bool         // R3
	seen      uint64                  // R8: replicas, one bit each
	stable    uint64                  // R7: the highest number
	view      uint64                  // R5: the highest one
	asked     uint64                  // R4: the highest one
	lost      bool                    // R8: it must not vote any more
	saved     uint64                  // R9: number of the state
}

func newLedger() ledger {
	return ledger{
		facts: map[fact]crypto.Digest{}, prepared: map[uint64]message.PQ{},
		accepted: map[uint64][]message.PQ{}, committed: map[uint64]bool{},
	}
}

// fact is what a record makes true.
type fact struct {
	kind    consensus.RecordKind
	view, n uint64
}

// enter enters a record.
func (l *ledger) enter(r *consensus.Record) {
	f, d := fact{r.Kind, r.View, r.N}, r.Digest
	switch r.Kind {
	case consensus.RecAccept:
		l.accept(message.PQ{N: r.N, Digest: r.Digest, View: r.View})
	case consensus.RecPrepared:
		if p, ok := l.prepared[r.N]; !ok || r.View >= p.View {
			l.prepared[r.N] = message.PQ{N: r.N, Digest: r.Digest, View: r.View}
		}
	case consensus.RecCommitted:
		l.committed[r.N] = true
	case consensus.RecCheckpoint:
		f.view = 0
	case consensus.RecStable:
		l.stable = max(l.stable, r.N)
	case consensus.RecViewChange:
		f.n, d = 0, crypto.Digest{}
		l.asked = max(l.asked, r.View)
	case consensus.RecNewView:
		f.n, d = 0, r.Msg.(*message.NewView).DecisionDigest
		l.view = max(l.view, r.View)
		l.asked = max(l.asked, r.View)
	case consensus.RecSeen:
		l.seen |= 1 << r.Replica
	case consensus.RecLost:
		l.lost = true
	}
	l.facts[f] = d
}

func (l *ledger) accept(e message.PQ) {
	list := l.accepted[e.N]
	for i := range list {
		if list[i].Digest == e.Digest {
			list[i].View = max(list[i].View, e.View)
			return
		}
	}
	l.accepted[e.N] = append(list, e)
}

// preparedBy is who has durably prepared a digest at a number in a view.
type preparedBy struct {
	view   uint64
	digest crypto.Digest
	who    uint64 // replicas, one bit each
}

// enter enters a record that is durable at a replica.
func (k *checker) enter(h *host, r *consensus.Record) {
	k.of[h.id].enter(r)
	if r.Kind != consensus.RecPrepared || !k.correct(h.id) {
		return
	}
	list := k.prepared[r.N]
	for i := range list {
		if list[i].view == r.View && list[i].digest == r.Digest {
			list[i].who |= 1 << h.id
			return
		}
	}
	k.prepared[r.N] = append(list, preparedBy{r.View, r.Digest, 1 << h.id})
}

// restored begins a life with what the disk gave back. All of it that was durable
// must be there (I7, I14, I16), and from here on the records that came back are
// what the replica promised.
func (k *checker) restored(h *host, c *contents) {
	s := &k.of[h.id]
	back := newLedger()
	for i := range c.records {
		back.enter(&c.records[i])
	}
	back.saved = c.loaded.N
	if s.life == 0 || h.lost || h.stale || h.liar != nil {
		executed := s.executed
		k.started(h)
		s.counted = executed == 0 && c.loaded.N == 0
	} else {
		k.w.cover.add("restarts with the disk")
		k.remembers(h, &back)
	}
	s.life, s.waiting = h.life, nil
	for i := range c.records {
		k.enter(h, &c.records[i])
	}
	s.bodies = map[crypto.Digest]bool{}
	for i := range c.records {
		if b := c.records[i].Batch; b != nil {
			s.bodies[b.Digest] = true
		}
	}
	k.willSend(h, c.records)
	s.saved, s.executed, s.windows = c.loaded.N, c.loaded.N, map[string]uint64{}
	s.certified = s.stable
	s.status.VCView, s.status.LastExecuted, s.status.LastCommitted = s.asked, c.loaded.N, 0
	k.forgot(h, s.saw&^back.seen)
	s.saw, s.silent, s.mute = back.seen, s.lost, s.lost
}

// remembers holds what came back against what was durable.
func (k *checker) remembers(h *host, back *ledger) {
	s := &k.of[h.id]
	switch {
	case back.saved < s.saved:
		k.fail("I16", "replica %d saved its state at %d, and comes back with %d", h.id, s.saved, back.saved)
		return
	case back.stable < s.stable || back.view < s.view || back.asked < max(s.asked, s.sentAsked):
		k.fail("I14", "replica %d comes back with h=%d, view %d, asked for %d; it had %d, %d, %d",
			h.id, back.stable, back.view, back.asked, s.stable, s.view, max(s.asked, s.sentAsked))
		return
	}
	for f, d := range s.facts { //maporder: each is looked at by itself, and one says it all
		switch f.kind {
		case consensus.RecAccept, consensus.RecPrepared, consensus.RecCommitted, consensus.RecCheckpoint:
			if f.n <= back.stable || f.kind == consensus.RecCommitted && f.n <= back.saved {
				continue
			}
		case consensus.RecStarted, consensus.RecJoined, consensus.RecLost:
		default:
			continue
		}
		if got, ok := back.facts[f]; !ok || got != d {
			k.fail("I7", "replica %d comes back without a record of kind %d at %d that was durable", h.id, f.kind, f.n)
			return
		}
	}
}

// willSend notes the view change that came back: it counts as sent from here on,
// for a new view of this replica may name it before anybody gets it.
func (k *checker) willSend(h *host, records []consensus.Record) {
	s := &k.of[h.id]
	for i := range records {
		m, ok := records[i].Msg.(*message.ViewChange)
		if !ok {
			continue
		}
		_, _ = k.w.verifier.open(m)
		if m.NewView == s.asked && s.view < s.asked && h.liar == nil {
			k.tellsAll(h, m)
			s.sentAsked = max(s.sentAsked, m.NewView)
		}
	}
}

// saved notes that a state is durable.
func (k *checker) saved(h *host, n uint64) { k.of[h.id].saved = n }

// rebuildable (I16): the disk of who votes for a checkpoint can give its state
// back: it has that state, or an older one and all batches in between.
func (k *checker) rebuildable(h *host, n uint64) {
	s := &k.of[h.id]
	if h.disk == nil || s.saved >= n {
		return
	}
	if s.released = max(s.released, h.disk.released); s.released > s.saved {
		k.fail("I16", "replica %d votes for checkpoint %d; its disk has the state at %d, and its log begins above %d", h.id, n, s.saved, s.released)
		return
	}
	for m := s.saved + 1; m <= n; m++ {
		if !s.committed[m] {
			k.fail("I16", "replica %d votes for checkpoint %d; its disk has the state at %d, and does not know what is committed at %d", h.id, n, s.saved, m)
			return
		}
	}
}

// tellsAll (I9): the first view change for a view names all that its sender
// durably prepared, and pre-prepared, above its h in lower views.
func (k *checker) tellsAll(h *host, m *message.ViewChange) {
	s := &k.of[h.id]
	if m.NewView <= s.sentAsked || !k.correct(h.id) {
		return
	}
	for n := m.H + 1; n <= m.H+k.w.plan.Window; n++ {
		if p, ok := s.prepared[n]; ok && p.View < m.NewView && !slices.ContainsFunc(m.P, func(e message.PQ) bool {
			return e.N == n && (e.View > p.View || e == p)
		}) {
			k.fail("I9", "replica %d prepared %s at %d in view %d, which its view change for %d does not say", h.id, p.Digest, n, p.View, m.NewView)
		}
		for _, q := range s.accepted[n] {
			if q.View < m.NewView && !slices.ContainsFunc(m.Q, func(e message.PQ) bool { return e.N == n && e.Digest == q.Digest && e.View >= q.View }) {
				k.fail("I9", "replica %d accepted %s at %d in view %d, which its view change for %d does not say", h.id, q.Digest, n, q.View, m.NewView)
			}
		}
	}
}

// lasting (I16): what is executed can be forgotten by no crash of all: a quorum
// has durably prepared it, faulty ones counted in.
func (k *checker) lasting(h *host, x *consensus.Exec) {
	if k.w.plan.Exceeds() {
		return
	}
	most := 0
	for _, p := range k.prepared[x.N] {
		if p.digest == x.Digest {
			most = max(most, bits.OnesCount64(p.who&^k.faulty))
		}
	}
	if q := consensus.Quorum(k.w.plan.N); most+bits.OnesCount64(k.faulty) < q {
		k.fail("I16", "replica %d executes %d, which %d replicas have durably prepared, of %d", h.id, x.N, most, q)
	}
}

// forgot notes that a replica does not know any more that it saw votes of some
// others, so that it cannot tell them.
func (k *checker) forgot(h *host, others uint64) {
	for i := range k.of {
		if others&(1<<i) != 0 {
			k.of[i].sawBy &^= 1 << h.id
		}
	}
}
