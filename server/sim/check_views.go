package sim

import (
	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
)

// entered looks at a view that a replica enters.
func (k *checker) entered(h *host, view uint64) {
	if h.liar != nil || h.status == message.Learner {
		return // a learner follows others
	}
	s := &k.of[h.id]
	nv := s.newViews[view]
	if nv == nil {
		k.fail("I10", "replica %d enters view %d without a record of its new view", h.id, view)
		return
	}
	if view < s.sentAsked {
		k.fail("I6", "replica %d asked for view %d and enters view %d", h.id, s.sentAsked, view)
	}
	if d := k.decide(h, nv); d != nil {
		k.preserves(h, nv, d)
	}
}

// decide (I10): the new view starts with what follows from its view changes.
func (k *checker) decide(h *host, nv *message.NewView) *decision {
	if d, ok := k.newViews[nv]; ok {
		return d
	}
	k.newViews[nv] = nil
	var set []*message.ViewChange
	for _, ref := range nv.ViewChanges {
		m := k.w.verifier.changes[ref.Digest]
		if m == nil || m.Replica != ref.Replica || m.NewView != nv.View {
			k.fail("I10", "replica %d enters view %d, which names a view change of replica %d that is none", h.id, nv.View, ref.Replica)
			return nil
		}
		set = append(set, m)
	}
	if len(set) < consensus.Quorum(k.w.plan.N) || int(nv.Replica) != consensus.Primary(nv.View, k.w.plan.N) {
		k.fail("I10", "replica %d enters view %d of replica %d on %d view changes", h.id, nv.View, nv.Replica, len(set))
		return nil
	}
	d := decide(k.w.plan, set)
	if !d.ok || d.digest() != nv.DecisionDigest {
		k.fail("I10", "replica %d enters view %d, whose decision does not follow from its view changes (decided: %t)", h.id, nv.View, d.ok)
		return nil
	}
	for i := range d.chosen {
		if d.chosen[i].null {
			k.w.cover.add("null batches chosen")
		} else {
			k.w.cover.add("batches chosen")
		}
	}
	k.newViews[nv] = d
	return d
}

// preserves (I9): what a quorum may have committed in a lower view is chosen
// again, or lies below a stable checkpoint.
func (k *checker) preserves(h *host, nv *message.NewView, d *decision) {
	for n := d.h + 1; n <= d.h+k.w.plan.Window; n++ {
		for i := range k.said[n] {
			e := &k.said[n][i]
			if e.view >= nv.View || !k.locked(e) {
				continue
			}
			if x, ok := d.at(n); !ok || x.digest != e.digest {
				k.fail("I9", "%s at %d is prepared by enough in view %d, and view %d, which replica %d enters, starts with %s there (top %d)",
					e.digest, n, e.view, nv.View, h.id, x.digest, d.top)
			}
		}
	}
}

// certified (I11, I14): certificates are of a correct replica's state, and of
// rising numbers.
func (k *checker) certified(h *host, n uint64, c *message.Certificate) {
	s := &k.of[h.id]
	if n != c.N() {
		k.fail("I11", "replica %d persists the certificate of %d as that of %d", h.id, c.N(), n)
		return
	}
	if n <= s.certified {
		k.fail("I14", "replica %d has certificate %d, and had %d", h.id, n, s.certified)
	}
	s.certified = n
	d := c.Votes[0].Digest
	if old, ok := k.proven[n]; ok && old != d {
		k.fail("I11", "states %s and %s are certified at %d", old, d, n)
	}
	k.proven[n] = d
	if own, ok := k.states[n]; !ok || own != d {
		k.fail("I11", "state %s is certified at %d, correct replicas have %s", d, n, own)
	}
}

// sameState (I12): correct replicas have one state at one number.
func (k *checker) sameState(h *host, n uint64, d crypto.Digest) {
	old, ok := k.states[n]
	if !ok {
		k.states[n] = d
	} else if old != d {
		k.fail("I12", "replica %d has state %s at %d, others have %s", h.id, d, n, old)
	}
}

// state looks at a state that was digested.
func (k *checker) state(h *host, s *message.State) {
	if h.liar == nil {
		k.sameState(h, s.N, message.CheckpointDigest(clusterID, s))
	}
}

// agreed (I1): all say the same of one number.
func (k *checker) agreed(h *host, n uint64, d crypto.Digest, does string) {
	old, ok := k.decided[n]
	if !ok {
		k.decided[n] = d
	} else if old != d {
		k.fail("I1", "replica %d %s %s at %d, others %s", h.id, does, d, n, old)
	}
}
