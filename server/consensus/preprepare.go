package consensus

import (
	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// Normal-case operation, first phase (OSDI '99 section 4.2; docs/protocol.md
// gives the rules by these numbers).

// admitPrePrepare checks rules 1 to 4, 7 and 8 of acceptance. The transport
// checked 5 and 6 when it parsed the batch.
func (r *Replica) admitPrePrepare(from message.ReplicaID, m *message.PrePrepare) Reason {
	switch {
	case m.View != r.view:
		return WrongView
	case int(from) != r.primary():
		return NotPrimary
	}
	return r.admitBatch(m.Batch, false)
}

// admitBatch checks what holds for a proposal and for a batch that f+1
// prepares vouch for (amplified).
func (r *Replica) admitBatch(b *message.Batch, amplified bool) Reason {
	n := b.Header.N
	switch {
	case !r.normal():
		return NotReady // rule 1
	case !r.inWindow(n):
		return OutsideWindow // rule 2
	case n <= r.top:
		return BelowTop // rule 3
	case b.Header.Epoch != r.c.Epoch:
		return BadBatch // rule 5
	}
	s := r.slot(n)
	if s.accepted {
		if s.digest != b.Digest {
			return Equivocation // rule 4
		}
		return StaleVote
	}
	if s.inQ(b.Digest) {
		return OK
	}
	switch {
	case !amplified && abs(b.Header.WallUS-r.wallUS) > r.c.MaxDriftUS:
		return ClockSkew // rule 7
	case s.fresh() >= M:
		return TooManyFresh // rule 8
	case !amplified && r.freshBytes+len(b.Body) > r.c.WindowBytes:
		return WindowBytes // rule 8
	}
	return OK
}

func abs(v int64) int64 {
	if v < 0 {
		return -v
	}
	return v
}

// onPrePrepare accepts a proposal of the primary.
func (r *Replica) onPrePrepare(from message.ReplicaID, m *message.PrePrepare) {
	if m.Batch == nil {
		r.onInvalidProposal(from, m.View)
		return
	}
	if m.View > r.view && r.keepEarly(from, m) {
		return
	}
	switch why := r.admitPrePrepare(from, m); why {
	case OK:
		r.accept(m.Batch)
	case Equivocation:
		r.event(Event{Kind: EvEquivocation, Replica: from, N: m.Batch.Header.N})
		r.reject(from, why, m.Batch.Header.N)
	case ClockSkew:
		r.event(Event{Kind: EvClockSkew, Replica: from, N: m.Batch.Header.N})
		r.reject(from, why, m.Batch.Header.N)
	default:
		r.reject(from, why, m.Batch.Header.N)
	}
}

// onInvalidProposal suspects a primary whose batch no correct one makes. The
// transport refused and counted it.
func (r *Replica) onInvalidProposal(from message.ReplicaID, view uint64) {
	if view == r.view && int(from) == r.primary() {
		r.suspect(BadProposal)
	}
}

// accept pre-prepares b in the present view: at most one digest per (view, n),
// ever. The prepare is a promise, so it leaves once the record, with the body,
// is durable. This holds for the primary too: its pre-prepare is a proposal,
// its prepare the vote. [differs]
func (r *Replica) accept(b *message.Batch) {
	n := b.Header.N
	s := r.slot(n)
	assertf(!s.accepted, "second acceptance at %d in view %d", n, r.view)
	s.accepted, s.acceptedAt, s.digest = true, r.tick+1, b.Digest
	s.setQ(b.Digest, r.view)
	s.addBody(b)
	s.freshSize = len(b.Body)
	r.freshBytes += s.freshSize
	r.highest, r.due = max(r.highest, n), max(r.due, n)
	if s.want == b.Digest {
		r.unwant(s)
	}
	k := r.record(Record{Kind: RecAccept, N: n, View: r.view, Digest: b.Digest, Batch: s.unrecorded(b.Digest)})
	r.promise(k, promisePrepare, n)
	r.vote(k, &message.Prepare{View: r.view, N: n, Digest: b.Digest})
	r.tryExecute() // the body may be what a committed number waited for
}

// vote sends a vote of the present view once k is durable.
func (r *Replica) vote(k PersistID, m message.Message) {
	if r.c.N > 1 {
		r.out.Sends = append(r.out.Sends, Send{To: Everyone, Msg: m, After: k, Gen: r.gen()})
	}
}

// amplify accepts a batch that f+1 others prepared: one of them is correct,
// checked it and holds its body. So a primary that leaves out up to f backups
// cannot stall them. [differs]
func (r *Replica) amplify(s *slot) {
	if s.accepted || !r.normal() || !r.inWindow(s.n) {
		return
	}
	d, ok := r.vouched(s)
	if !ok || d == r.nullDigest(s.n) {
		return // only a new view makes null batches, and it says so itself
	}
	r.due = max(r.due, s.n)
	if b := s.body(d); b == nil {
		r.wantBody(s, d)
	} else if r.admitBatch(b, true) == OK {
		r.accept(b)
	}
}

// vouched is the digest that f+1 others prepared at s in the present view.
func (r *Replica) vouched(s *slot) (crypto.Digest, bool) {
	for i := range s.prepares {
		v := s.prepares[i]
		if v.gen == r.gen() && i != int(r.c.Self) && count(s.prepares, v) >= r.f+1 {
			return v.digest, true
		}
	}
	return crypto.Digest{}, false
}
