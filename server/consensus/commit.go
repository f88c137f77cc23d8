package consensus

import (
	"fmt"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// Learning is always allowed, voting is not: commits and statements count in
// every status, for every view.

func (r *Replica) onCommit(from message.ReplicaID, m *message.Commit) {
	r.saw(from, message.PQ{N: m.N, Digest: m.Digest, View: m.View})
	s, ok := r.admitVote(from, m.N)
	if !ok {
		return
	}
	if v := (ballot{m.View + 1, m.Digest}); r.keepVote(s.commits, from, v, m.N) {
		r.tryCommitted(s, v)
	}
}

// tryCommitted learns by (a): a quorum committed one digest in one view. The
// replica need not be prepared itself.
func (r *Replica) tryCommitted(s *slot, v ballot) {
	if count(s.commits, v) >= r.q {
		r.learn(s, v.digest, v.gen-1)
	}
}

// onCommittedClaims learns by (b): f+1 replicas state that a digest is
// committed, so a correct one does, and the first correct one had (a).
func (r *Replica) onCommittedClaims(from message.ReplicaID, m *message.Committed) {
	if len(m.Entries) > message.MaxCommitted {
		r.reject(from, TooLarge, 0)
		return
	}
	for _, e := range m.Entries {
		if !r.inLog(e.N) || e.Digest.IsZero() {
			continue // learned before, or too far ahead to keep
		}
		s := r.slot(e.N)
		s.claims[from] = e.Digest
		equal := 0
		for _, d := range s.claims {
			if d == e.Digest {
				equal++
			}
		}
		if equal >= r.f+1 {
			r.learn(s, e.Digest, r.view)
		}
	}
}

// learn notes that d is committed at s and executes what became executable.
func (r *Replica) learn(s *slot, d crypto.Digest, view uint64) {
	if s.committed {
		if s.committedDigest != d {
			r.halt(fmt.Sprintf("agreement violated at %d: %s committed in view %d, %s in view %d; more than %d replicas are faulty",
				s.n, s.committedDigest.Hex(), s.committedView, d.Hex(), view, r.f))
		}
		return
	}
	s.committed, s.committedDigest, s.committedView = true, d, view
	r.highest, r.due = max(r.highest, s.n), max(r.due, s.n)
	r.record(Record{Kind: RecCommitted, N: s.n, View: view, Digest: d})
	if s.body(d) == nil && d != r.nullDigest(s.n) {
		r.wantBody(s, d)
	}
	r.advanceCommitted()
	r.tryExecute()
}

// advanceCommitted counts what is committed without a gap.
func (r *Replica) advanceCommitted() {
	for {
		next := r.peek(r.lastCommitted + 1)
		if next == nil || !next.committed {
			return
		}
		r.lastCommitted++
	}
}

func (r *Replica) nullDigest(n uint64) crypto.Digest { return r.c.Cluster.NullDigest(r.c.Epoch, n) }
