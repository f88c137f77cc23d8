package consensus

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// View changes (OSDI '99 section 4.4; docs/protocol.md section 7).

// views is what a replica knows of view changes.
type views struct {
	asked uint64              // the highest view that this replica asked for; at least view
	own   *message.ViewChange // for it
	held  []heldViewChange    // per sender, the valid one of the highest view; the own one once durable (S15)
	work  []*assembly         // per signer, its new view of the highest view that is being checked; nil: none (S16)
	turn  int                 // whose turn it is to be completed

	last    *message.NewView      // of the present view; nil in view 0
	lastSet []*message.ViewChange // what it names

	backoff   uint   // T is the timeout times two to the power of this
	executed  uint64 // lastExec when the present view was installed
	settled   uint64 // lastExec when backoff last fell
	installed uint64 // tick of the installation
}

// heldViewChange is a view change with its digest.
type heldViewChange struct {
	m      *message.ViewChange // nil: none
	digest crypto.Digest
}

// Cause says why a replica asked for a view.
type Cause uint8

// Causes.
const (
	NoProgress  Cause = iota + 1 // nothing was executed for the timeout
	Starved                      // one client's oldest request waits too long
	BadProposal                  // the primary proposed what is invalid
	BadNewView                   // the new view does not follow from its view changes
	NewViewLate                  // no new view came in time
	Abdication                   // the primary gave the view up
	Joined                       // f+1 others asked for it, or for a later one
	Draining                     // this replica is the primary and wants to stop
	numCauses
)

var causeNames = [numCauses]string{"unknown", "no_progress", "starved", "bad_proposal", "bad_new_view", "new_view_late", "abdication", "joined", "draining"}

// String names the cause as metrics and logs do.
func (c Cause) String() string { return causeNames[min(c, numCauses-1)%numCauses] }

// suspect gives up the present view.
func (r *Replica) suspect(why Cause) {
	if r.normal() {
		r.changeView(r.view+1, why)
	}
}

// changeView asks for view w. From here on this replica votes in no view below
// w, ever again: it may come back to voting only by installing a view >= w.
func (r *Replica) changeView(w uint64, why Cause) {
	if w <= max(r.view, r.views.asked) || r.status != message.Normal && r.status != message.Changing || r.c.N == 1 {
		return
	}
	r.blame(why)
	r.views.asked = w
	r.setStatus(message.Changing, fmt.Sprintf("asked for view %d: %s", w, why))
	r.event(Event{Kind: EvViewChange, N: w, Cause: why})
	r.out.LiveGen = w + 1
	r.dropWork(w)
	m := r.makeViewChange(w)
	r.views.own = m
	k := r.record(Record{Kind: RecViewChange, View: w, Msg: m})
	r.promise(k, promiseViewChange, w)
	r.out.Sends = append(r.out.Sends, Send{To: Everyone, Msg: m, After: k})
	r.timers.newView = 0
	r.timers.repeat, r.timers.repeatEvery = r.tick+r.patience(), r.patience()
}

// makeViewChange says what this replica knows: the proof of its low watermark,
// and of each number above it what it prepared (P) and pre-prepared (Q). The
// entries are set before their votes are queued, and the record of the view
// change stands behind theirs.
func (r *Replica) makeViewChange(w uint64) *message.ViewChange {
	proof := r.ckpt.stable
	m := &message.ViewChange{
		Epoch: r.c.Epoch, Replica: r.c.Self, Incarnation: r.c.Incarnation,
		NewView: w, H: proof.N(), Certificate: *proof,
	}
	for n := m.H + 1; n <= m.H+r.c.Window; n++ {
		s := r.peek(n)
		if s == nil {
			continue
		}
		if s.p.N != 0 {
			m.P = append(m.P, s.p)
		}
		first := len(m.Q)
		for _, e := range s.q {
			m.Q = append(m.Q, message.PQ{N: n, Digest: e.digest, View: e.view})
		}
		slices.SortFunc(m.Q[first:], func(a, b message.PQ) int { return slices.Compare(a.Digest[:], b.Digest[:]) })
	}
	m.Signature = r.sign(crypto.TagViewChange, m.AppendSigned(nil))
	return m
}

// viewChangeDurable counts the own view change.
func (r *Replica) viewChangeDurable(w uint64) {
	if r.views.asked == w && r.status == message.Changing {
		r.hold(r.views.own)
	}
}

// onViewChange takes a view change, verified by the transport; anybody may
// bring it.
func (r *Replica) onViewChange(from message.ReplicaID, m *message.ViewChange) {
	if int(m.Replica) >= r.c.N || m.Replica == r.c.Self {
		r.reject(from, FromSelf, m.NewView)
		return
	}
	if m.Replica == from {
		r.sawViewChange(from, m.NewView)
	}
	r.complete(m)
	if m.NewView <= r.view {
		return
	}
	if old := r.views.held[m.Replica].m; old != nil && old.NewView >= m.NewView {
		return
	}
	r.hold(m)
}

// hold keeps a view change and does what it makes possible.
func (r *Replica) hold(m *message.ViewChange) {
	r.views.held[m.Replica] = heldViewChange{m, m.Digest(r.c.Cluster)}
	if m.Replica != r.c.Self {
		r.followAbdication(m)
		r.join()
	}
	r.armNewView()
	r.tryNewView()
}

// heed does what the view changes make possible that came while this replica did
// not take part.
func (r *Replica) heed() {
	for i := range r.views.held {
		if m := r.views.held[i].m; m != nil && i != int(r.c.Self) {
			r.followAbdication(m)
		}
	}
	r.join()
	r.armNewView()
	r.tryNewView()
}

// followAbdication counts the view change of a primary against its own view as
// an expired timer. A faulty primary can give up only its own view with it.
func (r *Replica) followAbdication(m *message.ViewChange) {
	w := r.view
	if r.status == message.Changing {
		w = r.views.asked
	}
	if m.NewView == w+1 && int(m.Replica) == Primary(w, r.c.N) {
		r.changeView(w+1, Abdication)
	}
}

// join asks for the (f+1)-th highest view that others asked for, if that is
// news: one of f+1 replicas is correct. One alone moves nobody.
func (r *Replica) join() {
	var asked []uint64
	for i := range r.views.held {
		if m := r.views.held[i].m; m != nil && i != int(r.c.Self) {
			asked = append(asked, m.NewView)
		}
	}
	if len(asked) <= r.f {
		return
	}
	slices.SortFunc(asked, func(a, b uint64) int { return cmp.Compare(b, a) })
	if w := asked[r.f]; w > max(r.view, r.views.asked) {
		r.changeView(w, Joined)
	}
}

// heldFor counts the replicas that asked for view w or a later one.
func (r *Replica) heldFor(w uint64) (count int) {
	for i := range r.views.held {
		if m := r.views.held[i].m; m != nil && m.NewView >= w {
			count++
		}
	}
	return count
}

// findViewChange is the view change that a reference names, or nil.
func (r *Replica) findViewChange(ref message.ViewChangeRef) *message.ViewChange {
	if int(ref.Replica) >= r.c.N {
		return nil
	}
	if h := &r.views.held[ref.Replica]; h.m != nil && h.digest == ref.Digest {
		return h.m
	}
	if r.views.last != nil {
		for i, named := range r.views.last.ViewChanges {
			if named == ref {
				return r.views.lastSet[i]
			}
		}
	}
	for _, a := range r.views.work {
		if a == nil {
			continue
		}
		for i, named := range a.m.ViewChanges {
			if named == ref && a.set[i] != nil {
				return a.set[i]
			}
		}
	}
	return nil
}

// onFetchViewChange answers with a view change that a new view names.
func (r *Replica) onFetchViewChange(from message.ReplicaID, m *message.FetchViewChange) {
	if vc := r.findViewChange(m.Ref); vc != nil && r.spend(from, viewChangeSize(vc)) {
		r.send(int(from), vc)
	}
}

func viewChangeSize(m *message.ViewChange) int {
	return 256 + 48*(len(m.P)+len(m.Q)) + 128*len(m.Certificate.Votes)
}
