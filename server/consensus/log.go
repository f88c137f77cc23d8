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
	accepted   bool
	acceptedAt uint64        // tick plus one
	freshSize  int           // of the body in freshBytes; 0: not fresh in this view
	digest     crypto.Digest // accepted; zero if none
	prepared   bool
	prepareOK  bool // own prepare is durable, so it counts and may be sent again
	commitOK   bool // own commit likewise

	// All views.
	p      message.PQ // prepared entry of the highest view; N 0: none
	q      []qEntry   // digests pre-prepared here
	bodies []heldBody

	// One vote per sender, that of its highest view; view+1 in ballot, 0 none.
	prepares, commits []ballot
	claims            []crypto.Digest // Committed statements by sender

	committed       bool
	committedDigest crypto.Digest
	committedView   uint64

	want     crypto.Digest // body that is missing
	wantAt   uint64        // tick at which to ask for it
	wantNext int           // voter to ask next
}

// heldBody is a batch of the log. Recorded, it survives a crash together with
// what was recorded of its digest.
type heldBody struct {
	batch    *message.Batch
	recorded bool
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

// inWindow reports whether n lies between the watermarks: only there a replica
// votes.
func (r *Replica) inWindow(n uint64) bool { return n > r.h && n-r.h <= r.c.Window }

// inTail reports whether n is stable, but still to be executed here, and near
// enough to be kept.
func (r *Replica) inTail(n uint64) bool {
	return n <= r.h && n > r.lastExec && n-r.lastExec <= r.c.Window
}

// inLog reports whether n has a slot.
func (r *Replica) inLog(n uint64) bool { return r.inWindow(n) || r.inTail(n) }

// place is where the slot of n, which is in the log, belongs.
func (r *Replica) place(n uint64) *slot {
	if n <= r.h {
		return &r.tail[n%r.c.Window]
	}
	return &r.slots[n%r.c.Window]
}

// slot returns the entry of n, which is in the log.
func (r *Replica) slot(n uint64) *slot {
	s := r.place(n)
	if s.n != n {
		assertf(s.n == 0, "slot of %d still holds %d", n, s.n)
		s.n = n
	}
	return s
}

// peek is the entry of n, or nil if nothing is known of n.
func (r *Replica) peek(n uint64) *slot {
	if !r.inLog(n) {
		return nil
	}
	if s := r.place(n); s.n == n {
		return s
	}
	return nil
}

// each calls f for every entry of the log by rising number.
func (r *Replica) each(f func(*slot)) {
	for n := r.lastExec + 1; r.inTail(n); n++ {
		if s := r.peek(n); s != nil {
			f(s)
		}
	}
	for n := r.h + 1; n <= r.highest && r.inWindow(n); n++ {
		if s := r.peek(n); s != nil {
			f(s)
		}
	}
}

// truncate moves the low watermark to h. What was executed leaves the log; what
// was not stays to be learned, as far as there is room for it.
func (r *Replica) truncate(h uint64) {
	old := r.h
	r.h = h
	for i := range r.slots {
		s := &r.slots[i]
		if s.n == 0 || s.n > h {
			continue
		}
		assertf(s.n > old, "slot of %d below the watermark %d", s.n, old)
		r.freshBytes -= s.freshSize
		if !r.inTail(s.n) {
			r.drop(s)
			continue
		}
		s.leaveView()
		s.freshSize, s.p, s.q = 0, message.PQ{}, s.q[:0]
		r.tail[i], *s = *s, r.tail[i]
	}
}

// drop frees a slot.
func (r *Replica) drop(s *slot) {
	r.unwant(s)
	s.reset()
}

// leaveView forgets what belongs to the view before.
func (s *slot) leaveView() {
	s.accepted, s.acceptedAt, s.digest, s.freshSize = false, 0, crypto.Digest{}, 0
	s.prepared, s.prepareOK, s.commitOK = false, false, false
}

// body is the batch with digest d, or nil.
func (s *slot) body(d crypto.Digest) *message.Batch {
	for i := range s.bodies {
		if b := s.bodies[i].batch; b.Digest == d {
			return b
		}
	}
	return nil
}

func (s *slot) addBody(b *message.Batch) {
	if s.body(b.Digest) == nil {
		s.bodies = append(s.bodies, heldBody{batch: b})
	}
}

// unrecorded is the batch with digest d if a record must hold it still: the
// caller makes that record. A body is recorded once.
func (s *slot) unrecorded(d crypto.Digest) *message.Batch {
	for i := range s.bodies {
		if b := &s.bodies[i]; b.batch.Digest == d && !b.recorded {
			b.recorded = true
			return b.batch
		}
	}
	return nil
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
