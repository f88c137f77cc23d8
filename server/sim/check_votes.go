package sim

import (
	"math/bits"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
)

// said is what correct replicas voted at one number: one entry per view and
// digest.
type said []ballotsFor

type ballotsFor struct {
	view              uint64
	digest            crypto.Digest
	prepared, commits uint64 // replicas that said so, one bit each
}

// sent looks at a message that leaves a replica for the first of its receivers.
func (k *checker) sent(h *host, m message.Message) {
	if h.liar != nil {
		return
	}
	switch m := m.(type) {
	case *message.PrePrepare:
		k.vote(h, m)
		k.durably(h, m, fact{kind: consensus.RecStarted}, crypto.Digest{})
		k.onProposal(h, m)
	case *message.Prepare:
		k.vote(h, m)
		k.durably(h, m, fact{consensus.RecAccept, m.View, m.N}, m.Digest)
		k.onPrepare(h, m)
	case *message.Commit:
		k.vote(h, m)
		k.durably(h, m, fact{consensus.RecPrepared, m.View, m.N}, m.Digest)
		k.onCommit(h, m)
	case *message.Checkpoint:
		if int(m.Replica) == h.id {
			k.vote(h, m)
			k.durably(h, m, fact{kind: consensus.RecCheckpoint, n: m.N}, m.Digest)
			k.rebuildable(h, m.N)
			k.sameState(h, m.N, m.Digest)
		}
	case *message.ViewChange:
		if int(m.Replica) == h.id {
			_, _ = k.w.verifier.open(m)                // a new view may name it before anybody got it
			if m.NewView > h.core.View() || !h.stale { // else it shows what a new view rests on
				k.vote(h, m)
			}
			k.durably(h, m, fact{kind: consensus.RecViewChange, view: m.NewView}, crypto.Digest{})
			k.tellsAll(h, m)
			k.of[h.id].sentAsked = max(k.of[h.id].sentAsked, m.NewView)
		}
	case *message.NewView:
		if int(m.Replica) == h.id {
			k.vote(h, m)
			k.durably(h, m, fact{kind: consensus.RecNewView, view: m.View}, m.DecisionDigest)
		}
	case *message.Committed:
		if s := &k.of[h.id]; !s.silent || s.mute {
			k.vote(h, m) // else the executor may answer what was asked before
		}
		for _, e := range m.Entries {
			k.agreed(h, e.N, e.Digest, "states")
		}
	case *message.Status:
		k.monotone(h, m)
	}
}

// vote (I20): a replica that lost its memory sends no vote. In a memory that is
// gone nobody can look, so it asks: it may vote as a new one only if a quorum,
// itself included, can have said that it saw no vote of it. One that has noted
// that it lost a part sends none either.
func (k *checker) vote(h *host, m message.Message) {
	s := &k.of[h.id]
	if s.silent {
		k.fail("I20", "replica %d has a record that it must not vote, and sends: %s", h.id, describe(m))
	}
	if !h.lost {
		return
	}
	seen := bits.OnesCount64(s.sawBy) > k.w.plan.N-consensus.Quorum(k.w.plan.N)
	status := h.core.Info().Status
	if status == message.Learner || status == message.Starting || seen && !k.w.plan.Exceeds() {
		k.fail("I20", "replica %d lost its memory, is %s, and sends: %s", h.id, status, describe(m))
	}
}

// durably (I7): what is promised is durable before it leaves.
func (k *checker) durably(h *host, m message.Message, f fact, d crypto.Digest) {
	if h.stale {
		return // what it said before it forgot may be said again for it
	}
	if got, ok := k.of[h.id].facts[f]; !ok || got != d {
		k.fail("I7", "replica %d sends what is not durable: %s", h.id, describe(m))
	}
}

// persisted notes records that were handed over (I25: an accepted batch comes
// with its body).
func (k *checker) persisted(h *host, id consensus.PersistID, records []consensus.Record) {
	if h.liar != nil {
		return
	}
	s := &k.of[h.id]
	s.waiting = append(s.waiting, batchOfRecords{id, append([]consensus.Record(nil), records...)})
	for i := range records {
		r := &records[i]
		if r.Batch != nil {
			s.bodies[r.Batch.Digest] = true
		}
		switch r.Kind {
		case consensus.RecAccept:
			if !s.bodies[r.Digest] && r.Digest != clusterID.NullDigest(0, r.N) {
				k.fail("I25", "replica %d accepts %s at %d in view %d without its body", h.id, r.Digest, r.N, r.View)
			}
		case consensus.RecCommitted:
			k.agreed(h, r.N, r.Digest, "learns")
		case consensus.RecStable:
			k.certified(h, r.N, r.Certificate)
		case consensus.RecNewView:
			if s.newViews == nil {
				s.newViews = make(map[uint64]*message.NewView)
			}
			nv := r.Msg.(*message.NewView)
			s.newViews[nv.View] = nv
		}
	}
}

// durable notes that all records up to a batch are durable.
func (k *checker) durable(h *host, id consensus.PersistID) {
	s := &k.of[h.id]
	for len(s.waiting) > 0 && s.waiting[0].k <= id {
		for i := range s.waiting[0].records {
			k.enter(h, &s.waiting[0].records[i])
		}
		s.waiting = s.waiting[1:]
	}
}

// onProposal (I27, I6): one digest per view and number, and none in a view that
// was given up.
func (k *checker) onProposal(h *host, m *message.PrePrepare) {
	s := &k.of[h.id]
	at := [2]uint64{m.View, m.Batch.Header.N}
	if d, ok := s.proposed[at]; ok && d != m.Batch.Digest {
		k.fail("I27", "replica %d proposes %s and %s at %d in view %d", h.id, d, m.Batch.Digest, at[1], at[0])
	}
	s.proposed[at] = m.Batch.Digest
	k.notGivenUp(h, m.View, m)
}

// notGivenUp (I6): no vote in a view below one that was asked for.
func (k *checker) notGivenUp(h *host, view uint64, m message.Message) {
	if asked := k.of[h.id].sentAsked; view < asked {
		k.fail("I6", "replica %d asked for view %d and sends: %s", h.id, asked, describe(m))
	}
}

// onPrepare (I5, I9): one digest per view and number, and none that contradicts
// what may be committed in a lower view.
func (k *checker) onPrepare(h *host, m *message.Prepare) {
	if !k.correct(h.id) {
		return
	}
	k.notGivenUp(h, m.View, m)
	e := k.entry(m.N, m.View, m.Digest)
	if e.prepared&(1<<h.id) != 0 {
		return
	}
	e.prepared |= 1 << h.id
	for _, o := range k.said[m.N] {
		switch {
		case o.digest == m.Digest:
		case o.view == m.View && o.prepared&(1<<h.id) != 0:
			k.fail("I5", "replica %d prepares %s and %s at %d in view %d", h.id, o.digest, m.Digest, m.N, m.View)
		case o.view < m.View && k.locked(&o):
			k.fail("I9", "%s at %d is prepared by enough in view %d, and replica %d prepares %s in view %d", o.digest, m.N, o.view, h.id, m.Digest, m.View)
		}
	}
}

// onCommit (I5, I8): correct replicas are prepared for one digest per view and
// number.
func (k *checker) onCommit(h *host, m *message.Commit) {
	if !k.correct(h.id) {
		return
	}
	k.notGivenUp(h, m.View, m)
	e := k.entry(m.N, m.View, m.Digest)
	if e.commits&(1<<h.id) != 0 {
		return
	}
	e.commits |= 1 << h.id
	for _, o := range k.said[m.N] {
		switch {
		case o.view != m.View || o.digest == m.Digest || o.commits&^k.faulty == 0:
		case o.commits&(1<<h.id) != 0:
			k.fail("I5", "replica %d commits %s and %s at %d in view %d", h.id, o.digest, m.Digest, m.N, m.View)
		default:
			k.fail("I8", "%s and %s are prepared at %d in view %d", o.digest, m.Digest, m.N, m.View)
		}
	}
}

// entry finds or makes the entry of a vote.
func (k *checker) entry(n, view uint64, d crypto.Digest) *ballotsFor {
	list := k.said[n]
	for i := range list {
		if list[i].view == view && list[i].digest == d {
			return &list[i]
		}
	}
	k.said[n] = append(list, ballotsFor{view: view, digest: d})
	return &k.said[n][len(list)]
}

// locked reports whether so many correct replicas are prepared that a quorum
// may have committed.
func (k *checker) locked(e *ballotsFor) bool {
	return bits.OnesCount64(e.commits&^k.faulty) >= consensus.Quorum(k.w.plan.N)-k.w.plan.F()
}

// monotone (I14): what a replica says of itself only grows.
func (k *checker) monotone(h *host, m *message.Status) {
	o := &k.of[h.id].status
	if m.View < o.View || m.VCView < o.VCView || m.H < o.H || m.LastExecuted < o.LastExecuted || m.LastCommitted < o.LastCommitted {
		k.fail("I14", "replica %d falls back: %s, before: %s", h.id, describe(m), describe(o))
	}
	if s := &k.of[h.id]; m.H > s.stable {
		k.fail("I7", "replica %d says h=%d, and has durably the proof of %d", h.id, m.H, s.stable)
	}
	*o = *m
}

// received notes whose votes a replica saw.
func (k *checker) received(h *host, from int, m message.Message) {
	switch m := m.(type) {
	case *message.Prepare, *message.Commit:
	case *message.Checkpoint:
		if int(m.Replica) != from {
			return
		}
	case *message.ViewChange:
		if int(m.Replica) != from {
			return
		}
	default:
		return
	}
	k.of[h.id].saw |= 1 << from
}
