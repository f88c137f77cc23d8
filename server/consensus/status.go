package consensus

import (
	"cmp"
	"encoding/binary"
	"slices"

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

// sawViewChange notes that a peer asked for a view in this epoch.
func (r *Replica) sawViewChange(from message.ReplicaID, view uint64) {
	r.saw(from, message.PQ{})
	p := &r.peers[from]
	p.highestViewChange = max(p.highestViewChange, view)
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
		SeenYou: r.peers[to].seen, HighestVote: r.peers[to].highest, HighestViewChange: r.peers[to].highestViewChange,
		VCView: r.views.asked, HasNewView: r.workFor(r.views.asked) != nil, WantStatus: want,
		Probe: r.probe.open && to == r.primary() && r.normal(),
	}
	for i := range r.views.held {
		if m := r.views.held[i].m; m != nil && m.NewView == r.views.asked {
			s.ViewChanges |= 1 << i
		}
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
			if e.body(e.digest) != nil {
				s.HasBody |= bit
			}
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
	r.echo(p, m)
	switch {
	case r.status == message.Starting && r.restart.restored:
		r.answerRestarted(p)
	case r.status == message.Starting:
		r.answerStarting(p, m)
	case r.status == message.Learner:
		r.followView()
	}
	if m.WantStatus && (p.statusAt == 0 || r.tick-p.statusAt >= r.c.RetryFirst/2) {
		p.statusAt = max(r.tick, 1)
		r.sendStatusTo(int(from), false)
	}
	r.probed(m)
	r.askCertificate(from, m)
	if r.normal() || r.status == message.Changing {
		r.repair(from, m)
	}
}

// followView lets a learner know the view in which f+1 others, so a correct
// one, are. It votes in none.
func (r *Replica) followView() {
	views := make([]uint64, 0, r.c.N)
	for i := range r.peers {
		views = append(views, r.peers[i].status.View)
	}
	slices.SortFunc(views, func(a, b uint64) int { return cmp.Compare(b, a) })
	if v := views[r.f]; v > r.view {
		r.view, r.views.asked = v, max(r.views.asked, v) // what it asked for it does not take back (I14)
		r.event(Event{Kind: EvNewView, N: v})
	}
}

// repair sends a peer the own votes, proposals, checkpoint votes and
// statements that it lacks.
func (r *Replica) repair(to message.ReplicaID, m *message.Status) {
	if m.H < r.h {
		r.sendCertificate(to)
	}
	r.repairView(to, m)
	r.resendCheckpoints(to, m.H)
	if m.LastCommitted >= r.highest {
		return
	}
	first := m.LastCommitted + 1
	last := first + message.StatusSpan - 1
	r.state(to, first, last, m.Committed)
	if m.View != r.view || !r.normal() {
		return // what was said in a view that is given up is not repeated
	}
	for n := max(first, r.h+1); n <= min(last, r.highest); n++ {
		if s := r.peek(n); s != nil && s.accepted {
			r.resendVotes(to, s, m, uint64(1)<<(n-first))
		}
	}
}

// repairView brings a peer in a lower view along, and gives one that changes to
// the same view the view changes that it lacks.
func (r *Replica) repairView(to message.ReplicaID, m *message.Status) {
	switch {
	case r.normal() && m.View < r.view && m.VCView <= r.view && r.views.last != nil:
		if m.HasNewView && m.VCView == r.view {
			return // it has it, and asks for what it lacks
		}
		if r.spend(to, 256+64*len(r.views.last.ViewChanges)) {
			r.send(int(to), r.views.last)
		}
		for _, vc := range r.views.lastSet {
			has := m.VCView == r.view && m.ViewChanges&(1<<vc.Replica) != 0
			if !has && vc.Replica != to && r.spend(to, viewChangeSize(vc)) {
				r.send(int(to), vc)
			}
		}
	case r.status == message.Changing && m.View < r.views.asked:
		for i := range r.views.held {
			vc := r.views.held[i].m
			if vc == nil || vc.NewView < r.views.asked || m.VCView == r.views.asked && m.ViewChanges&(1<<i) != 0 || i == int(to) {
				continue
			}
			if r.spend(to, viewChangeSize(vc)) {
				r.send(int(to), vc)
			}
		}
	}
}

// resendVotes sends again what this replica said about one number. Only
// durable votes are sent: these are the same promises, no new ones.
func (r *Replica) resendVotes(to message.ReplicaID, s *slot, m *message.Status, bit uint64) {
	const vote = 64 // bytes, about
	if b := s.body(s.digest); b != nil && s.n > r.top && r.isPrimary() && m.HasBody&bit == 0 && r.started <= r.durable {
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
		r.record(Record{Kind: RecJoined}) // before any record of a vote
		r.setStatus(message.Normal, "a quorum holds no vote of this replica: it is new")
		r.voteCheckpoints()
		r.sendStatus(true)
		r.heed()
	}
}
