package consensus

import (
	"slices"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// wantBody notes that the body of d is missing at s. In the window it is asked
// for only after a while: most bodies are on their way.
func (r *Replica) wantBody(s *slot, d crypto.Digest) {
	if s.want == d {
		return
	}
	if s.want.IsZero() {
		r.wants++
	}
	s.want, s.wantAt = d, r.tick
	if s.n > r.h {
		s.wantAt += r.c.RetryFirst
	}
}

func (r *Replica) unwant(s *slot) {
	if !s.want.IsZero() {
		r.wants--
		s.want = crypto.Digest{}
	}
}

// askBodies asks for missing bodies, each of one replica at a time, starting
// with those that vouch for it.
func (r *Replica) askBodies() {
	if r.wants == 0 {
		return
	}
	ask := make([][]crypto.Digest, r.c.N)
	r.each(func(s *slot) {
		if s.want.IsZero() || r.tick < s.wantAt {
			return
		}
		s.wantAt = r.tick + r.c.RetryFirst
		if to := r.holder(s); len(ask[to]) < maxAsk {
			ask[to] = append(ask[to], s.want)
		}
	})
	for to, list := range ask {
		for d := range slices.Chunk(list, message.MaxFetch) {
			r.send(to, &message.FetchBody{Digests: d})
		}
	}
}

// maxAsk is how many bodies are asked of one replica at once.
const maxAsk = 4 * message.MaxFetch

// holder is the next replica to ask for the body that s wants: those that
// prepared or committed it first, then anybody.
func (r *Replica) holder(s *slot) int {
	for range r.c.N {
		i := (int(r.c.Self) + 1 + s.wantNext) % r.c.N
		s.wantNext++
		if i == int(r.c.Self) {
			continue
		}
		if s.wantNext > r.c.N || s.prepares[i].digest == s.want || s.commits[i].digest == s.want || s.claims[i] == s.want {
			return i
		}
	}
	return (int(r.c.Self) + 1) % r.c.N
}

// onFetchBody answers from the log; what is not there the host may still have.
func (r *Replica) onFetchBody(from message.ReplicaID, m *message.FetchBody) {
	if len(m.Digests) > message.MaxFetch {
		r.reject(from, TooLarge, 0)
		return
	}
	var rest []crypto.Digest
	for _, d := range m.Digests {
		b := r.findBody(d)
		switch {
		case b == nil:
			rest = append(rest, d)
		case r.spend(from, len(b.Body)):
			r.send(int(from), &message.Body{Batch: b})
		}
	}
	if len(rest) > 0 && r.spend(from, 64*len(rest)) {
		r.out.Serves = append(r.out.Serves, Serve{To: from, Digests: rest, Budget: r.peers[from].budget})
	}
}

func (r *Replica) findBody(d crypto.Digest) (found *message.Batch) {
	r.each(func(s *slot) {
		if found == nil {
			found = s.body(d)
		}
	})
	return found
}

// onBody takes a body that was asked for: its digest says that it is the one.
func (r *Replica) onBody(from message.ReplicaID, m *message.Body) {
	n := m.Batch.Header.N
	s := r.peek(n)
	if s == nil || s.want != m.Batch.Digest {
		r.reject(from, Unsolicited, n)
		return
	}
	r.unwant(s)
	s.addBody(m.Batch)
	if r.normal() && s.accepted && s.digest == m.Batch.Digest && !s.prepareOK {
		r.voteSelected(s)
	}
	r.amplify(s)
	r.tryExecute()
}

// spend takes bytes out of what a peer may be sent in answer to its gossip and
// fetches in one interval. The first answer of an interval always goes, so
// that a large body gets through.
func (r *Replica) spend(to message.ReplicaID, size int) bool {
	p := &r.peers[to]
	if r.tick-p.budgetAt >= r.busyInterval() {
		p.budget, p.budgetAt = r.c.StatusBudget, r.tick
	}
	if size > p.budget && p.budget < r.c.StatusBudget {
		return false
	}
	p.budget -= size
	return true
}

// onFetchCommitted states what is known to be committed here.
func (r *Replica) onFetchCommitted(from message.ReplicaID, m *message.FetchCommitted) {
	if m.From > m.To || m.To-m.From >= message.MaxCommitted {
		r.reject(from, TooLarge, m.From)
		return
	}
	if r.status == message.Learner || r.status == message.Starting {
		return // its word is worth nothing
	}
	r.state(from, m.From, m.To, 0)
}

// state sends statements of Committed for the numbers from..to, those whose
// bit is set in skip left out.
func (r *Replica) state(to message.ReplicaID, first, last, skip uint64) {
	if below := min(last, r.h); first <= below && r.spend(to, 48*int(below-first+1)) {
		r.out.Serves = append(r.out.Serves, Serve{To: to, First: first, Last: below})
	}
	var entries []message.NDigest
	for n := max(first, r.h+1); n <= min(last, r.highest); n++ {
		s := r.peek(n)
		if s == nil || !s.committed || (n-first < 64 && skip>>(n-first)&1 == 1) {
			continue
		}
		entries = append(entries, message.NDigest{N: n, Digest: s.committedDigest})
	}
	if len(entries) > 0 && r.spend(to, 48*len(entries)) {
		r.send(int(to), &message.Committed{Entries: entries})
	}
}
