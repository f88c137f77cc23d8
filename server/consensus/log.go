package consensus

import (
	"slices"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// slot is the log's entry for one sequence number.
type slot struct {
	n uint64 // 0: free

	// The present view.
	accepted  bool
	freshSize int           // of the body in freshBytes; 0: not fresh in this view
	digest    crypto.Digest // accepted; zero if none
	prepared  bool
	prepareOK bool // own prepare is durable, so it counts and may be sent again
	commitOK  bool // own commit likewise

	// All views.
	p      message.PQ // prepared entry of the highest view; N 0: none
	q      []qEntry   // digests pre-prepared here
	bodies []*message.Batch

	// One vote per sender, that of its highest view; view+1 in ballot, 0 none.
	prepares, commits []ballot
	claims            []crypto.Digest // Committed statements by sender

	committed       bool
	committedDigest crypto.Digest
	committedView   uint64
	timeUS          int64 // agreed time, set when given to execution

	want     crypto.Digest // body that is missing
	wantAt   uint64        // tick at which to ask for it
	wantNext int           // voter to ask next
}

// ballot is a vote of one sender: view+1 and digest.
type ballot struct {
	gen    uint64
	digest crypto.Digest
}

// qEntry is one digest that was pre-prepared at a number, and the highest view.
type qEntry struct {
	digest   crypto.Digest
	view     uint64
	selected bool // by a new view: never refused
}

func (s *slot) init(n int) {
	s.prepares = make([]ballot, n)
	s.commits = make([]ballot, n)
	s.claims = make([]crypto.Digest, n)
}

// reset frees the slot and keeps its vote tables.
func (s *slot) reset() {
	clear(s.prepares)
	clear(s.commits)
	clear(s.claims)
	clear(s.bodies)
	*s = slot{prepares: s.prepares, commits: s.commits, claims: s.claims, q: s.q[:0], bodies: s.bodies[:0]}
}

// inLog reports whether n has a slot: base < n <= base+L.
func (r *Replica) inLog(n uint64) bool { return n > r.base && n-r.base <= r.c.Window }

// inWindow reports whether n lies between the watermarks: only there a replica
// votes.
func (r *Replica) inWindow(n uint64) bool { return n > r.h && n-r.h <= r.c.Window }

// slot returns the entry of n, which is in the log.
func (r *Replica) slot(n uint64) *slot {
	s := &r.slots[n%r.c.Window]
	if s.n != n {
		assertf(s.n == 0, "slot of %d still holds %d", n, s.n)
		s.n = n
	}
	return s
}

// peek is the entry of n, or nil if nothing is known of n.
func (r *Replica) peek(n uint64) *slot {
	if s := &r.slots[n%r.c.Window]; r.inLog(n) && s.n == n {
		return s
	}
	return nil
}

// truncate drops the log up to base.
func (r *Replica) truncate(base uint64) {
	for n := r.base + 1; n <= base; n++ {
		s := &r.slots[n%r.c.Window]
		if s.n != n {
			continue
		}
		r.unwant(s)
		r.freshBytes -= s.freshSize
		s.reset()
	}
	r.base = base
}

// body is the batch with digest d, or nil.
func (s *slot) body(d crypto.Digest) *message.Batch {
	for _, b := range s.bodies {
		if b.Digest == d {
			return b
		}
	}
	return nil
}

func (s *slot) addBody(b *message.Batch) {
	if s.body(b.Digest) == nil {
		s.bodies = append(s.bodies, b)
	}
}

// store keeps a vote by the rule of S11: one per sender, the highest view
// wins, and within a view the first one.
func store(votes []ballot, from message.ReplicaID, v ballot) Reason {
	old := &votes[from]
	switch {
	case v.gen < old.gen || *old == v:
		return StaleVote
	case v.gen == old.gen:
		return Equivocation
	}
	*old = v
	return OK
}

// count is the number of senders that voted v.
func count(votes []ballot, v ballot) (k int) {
	for i := range votes {
		if votes[i] == v {
			k++
		}
	}
	return k
}

// fresh counts the digests of q that no new view selected.
func (s *slot) fresh() (k int) {
	for i := range s.q {
		if !s.q[i].selected {
			k++
		}
	}
	return k
}

// inQ reports whether d was pre-prepared here before.
func (s *slot) inQ(d crypto.Digest) bool {
	return slices.ContainsFunc(s.q, func(e qEntry) bool { return e.digest == d })
}

// setQ notes that d was pre-prepared in view.
func (s *slot) setQ(d crypto.Digest, view uint64) {
	for i := range s.q {
		if s.q[i].digest == d {
			s.q[i].view = max(s.q[i].view, view)
			return
		}
	}
	s.q = append(s.q, qEntry{digest: d, view: view})
}

// selectQ notes that a new view chose d: it is never refused any more.
func (s *slot) selectQ(d crypto.Digest, view uint64) {
	s.setQ(d, view)
	for i := range s.q {
		if s.q[i].digest == d {
			s.q[i].selected = true
		}
	}
}
