package consensus

import (
	"encoding/binary"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// saw notes that a peer voted in this epoch: if it comes back empty, it has
// lost what it promised (5.6).
func (r *Replica) saw(from message.ReplicaID, v message.PQ) {
	p := &r.peers[from]
	if !p.seen {
		p.seen = true
		r.record(Record{Kind: RecSeen, Replica: from})
	}
	if v.View > p.highest.View || v.View == p.highest.View && v.N > p.highest.N {
		p.highest = v
	}
}

// sendStatus tells every peer where this replica stands.
func (r *Replica) sendStatus(want bool) {
	for i := range r.c.N {
		if i != int(r.c.Self) {
			r.sendStatusTo(i, want)
		}
	}
}

func (r *Replica) sendStatusTo(to int, want bool) {
	s := &message.Status{
		View: r.view, Status: r.status, H: r.h, LastExecuted: r.lastExec, LastCommitted: r.lastCommitted,
		SeenYou: r.peers[to].seen, HighestVote: r.peers[to].highest, WantStatus: want,
	}
	for i := uint64(0); i < message.StatusSpan && r.lastCommitted+1+i <= r.highest; i++ {
		s.Accepted = append(s.Accepted, 0)
		e := r.peek(r.lastCommitted + 1 + i)
		if e == nil {
			continue
		}
		bit := uint64(1) << i
		if e.accepted {
			s.Accepted[i] = prefix(e.digest)
			s.HasBody |= bit // an accepted batch's body is always held
		}
		if e.committed {
			s.Committed |= bit
			if e.want.IsZero() {
				s.HasBody |= bit
			} else {
				s.HasBody &^= bit
			}
		}
		if e.prepared {
			s.Prepared |= bit
		}
	}
	r.send(to, s)
}

func prefix(d crypto.Digest) uint64 { return binary.BigEndian.Uint64(d[:]) }

// onStatus answers with what the peer lacks, within its budget.
func (r *Replica) onStatus(from message.ReplicaID, m *message.Status) {
	if len(m.Accepted) > message.StatusSpan {
		r.reject(from, TooLarge, 0)
		return
	}
	p := &r.peers[from]
	p.status = *m
	if r.status == message.Starting {
		r.answerStarting(p, m)
	}
	if m.WantStatus && (p.statusAt == 0 || r.tick-p.statusAt >= r.c.RetryFirst/2) {
		p.statusAt = max(r.tick, 1)
		r.sendStatusTo(int(from), false)
	}
	r.askCertificate(from, m)
	if r.normal() || r.status == message.Changing {
		r.repair(from, m)
	}
}

// repair sends a peer the own votes, proposals, checkpoint votes and
// statements that it lacks.
func (r *Replica) repair(to message.ReplicaID, m *message.Status) {
	if m.H < r.h {
		r.sendCertificate(to)
	}
	r.resendCheckpoints(to, m.H)
	if m.LastCommitted >= r.highest {
		return
	}
	first := m.LastCommitted + 1
	last := first + message.StatusSpan - 1
	r.state(to, first, last, m.Committed)
	if m.View != r.view {
		return
	}
	for n := max(first, r.base+1); n <= min(last, r.highest); n++ {
		if s := r.peek(n); s != nil && s.accepted {
			r.resendVotes(to, s, m, uint64(1)<<(n-first))
		}
	}
}

// resendVotes sends again what this replica said about one number. Only
// durable votes are sent: these are the same promises, no new ones.
func (r *Replica) resendVotes(to message.ReplicaID, s *slot, m *message.Status, bit uint64) {
	const vote = 64 // bytes, about
	if r.isPrimary() && m.HasBody&bit == 0 {
		b := s.body(s.digest)
		if r.spend(to, len(b.Body)) {
			r.send(int(to), &message.PrePrepare{View: r.view, Batch: b})
		}
	}
	if m.Committed&bit != 0 {
		return
	}
	if s.prepareOK && m.Prepared&bit == 0 && r.spend(to, vote) {
		r.send(int(to), &message.Prepare{View: r.view, N: s.n, Digest: s.digest})
	}
	if s.commitOK && r.spend(to, vote) {
		r.send(int(to), &message.Commit{View: r.view, N: s.n, Digest: s.digest})
	}
}

// answerStarting counts answers to the question of 5.6. A replica that starts
// empty takes part once a quorum, itself included, saw no vote of it: it is
// new. If f+1 saw one, it has lost what it promised, and stays silent.
func (r *Replica) answerStarting(p *peer, m *message.Status) {
	p.answered, p.seenMe = true, p.seenMe || m.SeenYou
	fresh, seen := 1, 0
	for i := range r.peers {
		switch q := &r.peers[i]; {
		case q.answered && q.seenMe:
			seen++
		case q.answered:
			fresh++
		}
	}
	switch {
	case seen >= r.f+1:
		r.setStatus(message.Learner, "this replica started empty, but its peers hold votes of it: it lost its memory and must not vote again")
	case fresh >= r.q:
		r.setStatus(message.Normal, "a quorum holds no vote of this replica: it is new")
		r.sendStatus(true)
	}
}
