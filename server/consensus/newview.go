package consensus

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// assembly is a new view whose view changes are being gathered.
type assembly struct {
	m     *message.NewView
	set   []*message.ViewChange // parallel to m.ViewChanges; nil: missing
	askAt uint64                // tick
	next  int                   // replica to ask

	// Proposals of the view that came before it was installed, in order.
	early      []*message.PrePrepare
	earlyBytes int
	chosen     *decision // decided, its record not durable yet
}

// tryNewView lets the primary of the view that was asked for decide, once a
// quorum asked for exactly that view, itself included.
func (r *Replica) tryNewView() {
	w := r.views.asked
	if r.status != message.Changing || Primary(w, r.c.N) != int(r.c.Self) || r.workFor(w) != nil {
		return
	}
	nv := &message.NewView{Epoch: r.c.Epoch, Replica: r.c.Self, Incarnation: r.c.Incarnation, View: w}
	var set []*message.ViewChange
	for i := range r.views.held {
		if h := &r.views.held[i]; h.m != nil && h.m.NewView == w {
			set = append(set, h.m)
			nv.ViewChanges = append(nv.ViewChanges, message.ViewChangeRef{Replica: message.ReplicaID(i), Digest: h.digest})
		}
	}
	if own := r.views.held[r.c.Self].m; len(set) < r.q || own == nil || own.NewView != w {
		return
	}
	x, err := r.decide(set)
	if err != nil {
		return // more view changes will come, or the replica has halted
	}
	nv.DecisionDigest = x.digest(r.c.Cluster)
	nv.Signature = r.sign(crypto.TagNewView, nv.AppendSigned(nil))
	a := &assembly{m: nv, set: set}
	r.views.work[r.c.Self] = a
	k := r.chose(a, x)
	r.out.Sends = append(r.out.Sends, Send{To: Everyone, Msg: nv, After: k})
}

// decide runs the decision procedure. Two certificates for one number cannot
// be with f faulty replicas.
func (r *Replica) decide(set []*message.ViewChange) (*decision, error) {
	x, err := (&decider{c: &r.c, f: r.f, q: r.q, set: set}).decide()
	if errors.Is(err, errTwoCertificates) {
		r.halt(fmt.Sprintf("%v: more than %d replicas are faulty", err, r.f))
	}
	return x, err
}

// admitNewView checks what can be checked without the view changes.
func (r *Replica) admitNewView(m *message.NewView) Reason {
	switch {
	case r.status != message.Normal && r.status != message.Changing:
		return NotReady
	case int(m.Replica) != Primary(m.View, r.c.N) || m.Replica == r.c.Self:
		return NotPrimary
	case m.View <= r.view || m.View < r.views.asked:
		return WrongView
	case len(m.ViewChanges) < r.q || len(m.ViewChanges) > r.c.N || int(m.ViewChanges[len(m.ViewChanges)-1].Replica) >= r.c.N:
		return BadNewViewSet
	}
	if a := r.views.work[m.Replica]; a != nil && a.m.View >= m.View {
		return StaleVote
	}
	return OK
}

// workFor is the new view of view v that is being checked, or nil. The primary
// of v alone can sign it.
func (r *Replica) workFor(v uint64) *assembly {
	if a := r.views.work[Primary(v, r.c.N)]; a != nil && a.m.View == v {
		return a
	}
	return nil
}

// dropWork forgets new views below view v.
func (r *Replica) dropWork(v uint64) {
	for i, a := range r.views.work {
		if a != nil && a.m.View < v {
			r.views.work[i] = nil
		}
	}
}

// onNewView takes a new view, signed by its primary; anybody may bring it.
func (r *Replica) onNewView(from message.ReplicaID, m *message.NewView) {
	if why := r.admitNewView(m); why != OK {
		if why != StaleVote && why != WrongView {
			r.reject(from, why, m.View)
		}
		return
	}
	a := &assembly{m: m, set: make([]*message.ViewChange, len(m.ViewChanges)), next: int(from)}
	for i, ref := range m.ViewChanges {
		a.set[i] = r.findViewChange(ref)
	}
	r.views.work[m.Replica] = a
	r.askFor(a)
	r.tryInstall(a)
}

// complete gives the new views in work a view change that they name.
func (r *Replica) complete(m *message.ViewChange) {
	for _, a := range r.views.work {
		if a == nil || a.chosen != nil {
			continue
		}
		for i, ref := range a.m.ViewChanges {
			if ref.Replica == m.Replica && a.set[i] == nil && ref.Digest == m.Digest(r.c.Cluster) {
				a.set[i] = m
				r.tryInstall(a)
				break
			}
		}
	}
}

// askViewChanges asks for what the new views in work lack, for one of them in a
// turn: a liar can name what does not exist.
func (r *Replica) askViewChanges() {
	for range r.views.work {
		r.views.turn = (r.views.turn + 1) % r.c.N
		if a := r.views.work[r.views.turn]; a != nil && a.chosen == nil && r.tick >= a.askAt {
			r.askFor(a)
			return
		}
	}
}

// askFor asks for what a new view lacks: who brought it and everybody else, one
// after the other.
func (r *Replica) askFor(a *assembly) {
	a.askAt = r.tick + r.c.RetryFirst
	for i, ref := range a.m.ViewChanges {
		if a.set[i] == nil {
			r.send(a.next, &message.FetchViewChange{Ref: ref, View: a.m.View})
		}
	}
	for a.next = (a.next + 1) % r.c.N; a.next == int(r.c.Self); {
		a.next = (a.next + 1) % r.c.N
	}
}

// tryInstall checks a new view against its view changes, once all are there:
// deciding on them must give what the primary signed.
func (r *Replica) tryInstall(a *assembly) {
	if r.choseAbove(a.m.View) {
		return // records of new views rise
	}
	for _, m := range a.set {
		if m == nil {
			return
		}
	}
	for _, m := range a.set {
		if m.NewView != a.m.View {
			r.badNewView(a.m)
			return
		}
	}
	x, err := r.decide(a.set)
	if r.status == message.Halted {
		return
	}
	if err != nil || x.digest(r.c.Cluster) != a.m.DecisionDigest {
		r.badNewView(a.m)
		return
	}
	r.chose(a, x)
}

// badNewView refuses a new view. Only the one that this replica waits for costs
// its signer the view: another one would move this replica alone, to wherever a
// liar wants.
func (r *Replica) badNewView(m *message.NewView) {
	r.views.work[m.Replica] = nil
	r.reject(m.Replica, BadNewViewSet, m.View)
	if r.status == message.Changing && m.View == r.views.asked {
		r.changeView(m.View+1, BadNewView)
	}
}

// chose persists a new view. It is installed when durable.
func (r *Replica) chose(a *assembly, x *decision) PersistID {
	a.chosen = x
	r.certified(x.certificate) // its record comes first, so that the window reaches what was chosen
	k := r.record(Record{Kind: RecNewView, View: a.m.View, Msg: a.m, Set: a.set})
	r.promise(k, promiseInstall, a.m.View)
	return k
}

// keepEarly keeps a proposal for the view in work, until that is installed. It
// reports false if m is for no such view; what does not fit comes again by
// Status.
func (r *Replica) keepEarly(from message.ReplicaID, m *message.PrePrepare) bool {
	a := r.workFor(m.View)
	if a == nil || from != a.m.Replica {
		return false
	}
	if len(a.early) < r.c.Pipeline && a.earlyBytes+len(m.Batch.Body) <= r.c.WindowBytes/4 {
		a.early = append(a.early, m)
		a.earlyBytes += len(m.Batch.Body)
	}
	return true
}

// install enters the view in work.
func (r *Replica) install(view uint64) {
	a := r.workFor(view)
	if a == nil || a.chosen == nil || view < r.views.asked || r.choseAbove(view) {
		return // a higher view was asked for meanwhile, or is about to be installed
	}
	if r.status != message.Normal && r.status != message.Changing {
		return // it has learned meanwhile that it must not vote any more
	}
	x := a.chosen
	r.view, r.views.asked, r.top = view, view, x.top
	r.views.last, r.views.lastSet = a.m, a.set
	r.dropWork(view + 1)
	r.views.executed, r.views.installed = r.lastExec, r.tick
	r.leaveView()
	r.setStatus(message.Normal, fmt.Sprintf("view %d, replica %d is primary", view, r.primary()))
	r.event(Event{Kind: EvNewView, N: view})
	for i := range x.chosen {
		r.take(x.h+1+uint64(i), x.chosen[i].digest)
	}
	r.lastProposed, r.probe.due = x.top, false
	r.handOver()
	r.countVotes()
	for _, m := range a.early {
		r.onPrePrepare(a.m.Replica, m)
	}
	r.timers.progressed(r.tick)
	r.sendStatus(false)
}

// choseAbove reports whether the record of a higher view is on its way.
func (r *Replica) choseAbove(view uint64) bool {
	return slices.ContainsFunc(r.views.work, func(a *assembly) bool { return a != nil && a.chosen != nil && a.m.View > view })
}

// leaveView forgets what belongs to the view before.
func (r *Replica) leaveView() {
	r.freshBytes = 0
	for i := range r.slots {
		r.slots[i].leaveView()
	}
}

// take accepts what the new view chose at n. It is prepared again even if it
// was executed: others may need the vote.
//
// Another digest than the committed one proves nothing against more than f
// replicas: a lying primary can sign two new views of one view, one of which
// ends below n, and a fresh batch there may be committed among those who
// entered by that one. So this replica does not vote at n, and goes on.
func (r *Replica) take(n uint64, d crypto.Digest) {
	if !r.inWindow(n) {
		return
	}
	s := r.slot(n)
	if s.committed && s.committedDigest != d {
		r.event(Event{Kind: EvEquivocation, Replica: message.ReplicaID(r.primary()), N: n})
		return
	}
	s.accepted, s.digest = true, d
	s.selectQ(d, r.view)
	r.highest, r.due = max(r.highest, n), max(r.due, n)
	if d != r.nullDigest(n) && s.body(d) == nil {
		r.wantBody(s, d)
		return
	}
	r.voteSelected(s)
}

// voteSelected prepares what the new view chose, once its body is there.
func (r *Replica) voteSelected(s *slot) {
	k := r.record(Record{Kind: RecAccept, Selected: true, N: s.n, View: r.view, Digest: s.digest, Batch: s.unrecorded(s.digest)})
	r.promise(k, promisePrepare, s.n)
	r.vote(k, &message.Prepare{View: r.view, N: s.n, Digest: s.digest})
}

// handOver makes pending requests ready again, and passes the watched ones to
// the new primary: it may never have heard of them.
func (r *Replica) handOver() {
	passed := 0
	for e := r.pend.all.Front(); e != nil; e = e.Next() {
		g := e.Value.(*group)
		g.proposed, g.passedOn = 0, false
		r.pend.enqueue(g)
		if g.watch != nil && passed < maxRelayAgain {
			r.passOn(g)
			passed++
		}
	}
}

// countVotes acts on votes of the view that came before it was installed.
func (r *Replica) countVotes() {
	r.each(func(s *slot) {
		r.tryPrepared(s)
		r.amplify(s)
	})
}
