package consensus

import (
	"testing"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// watched gives the lab's replica a request to wait for.
func (l *lab) watched(number uint64) {
	l.t.Helper()
	l.want(l.do(Input{Kind: InRequest, Group: makeGroup("a", number), Source: Source{Alone: true}}), "send 0: relay a#")
}

// viewChange is what replica from, which knows nothing, says to ask for view w.
func (l *lab) viewChange(from int, w uint64, edit func(*message.ViewChange)) *message.ViewChange {
	m := &message.ViewChange{Replica: message.ReplicaID(from), Incarnation: 1, NewView: w}
	if edit != nil {
		edit(m)
	}
	m.Signature = testSigner(l.c.id, from)(crypto.TagViewChange, m.AppendSigned(nil))
	return m
}

// newView is what the primary of w says after these view changes.
func (l *lab) newView(w uint64, set ...*message.ViewChange) *message.NewView {
	l.t.Helper()
	m := &message.NewView{Replica: message.ReplicaID(Primary(w, l.Replica.c.N)), Incarnation: 1, View: w}
	for _, vc := range set {
		m.ViewChanges = append(m.ViewChanges, message.ViewChangeRef{Replica: vc.Replica, Digest: vc.Digest(l.c.id)})
	}
	x, err := (&decider{c: &l.Replica.c, f: l.f, q: l.q, set: set}).decide()
	if err != nil {
		l.t.Fatal(err)
	}
	m.DecisionDigest = x.digest(l.c.id)
	return m
}

func TestSection7_2_NoProgressForTheTimeoutIsSuspicious(t *testing.T) {
	l := newLab(t, 4, 2, nil)
	l.watched(1)
	l.wantNone(l.ticks(199), "view-change")
	l.want(l.ticks(1), "persist k", "send all: view-change v1 by=2 h=0", "event view change to 1: no_progress")
	if l.status != message.Changing || l.view != 0 {
		t.Fatalf("%s, view %d", l.status, l.view)
	}
}

func TestSection7_2_NothingPendingIsNotSuspicious(t *testing.T) {
	l := newLab(t, 4, 2, nil)
	l.wantNone(l.ticks(2000), "view-change")
}

func TestSection7_2_AFullWindowIsNotThePrimarysFault(t *testing.T) {
	l := newLab(t, 4, 2, nil)
	l.watched(1)
	l.lastExec, l.execSent, l.lastCommitted = l.Replica.c.Window, l.Replica.c.Window, l.Replica.c.Window
	l.wantNone(l.ticks(2000), "view-change")
}

func TestSection7_2_AStarvedClientIsSuspicious(t *testing.T) {
	l := newLab(t, 4, 2, nil)
	l.watched(1)
	for range 4*200 - 1 {
		l.timers.progressed(l.tick) // other requests are executed
		l.wantNone(l.ticks(1), "view-change")
	}
	l.timers.progressed(l.tick)
	l.want(l.ticks(1), "event view change to 1: starved")
}

func TestSection7_2_JoinsFPlus1Others(t *testing.T) {
	l := newLab(t, 7, 6, nil)
	l.wantNone(l.hear(3, l.viewChange(3, 9, nil)), "send all: view-change")
	l.wantNone(l.hear(3, l.viewChange(2, 5, nil)), "send all: view-change") // whoever brings it
	l.wantNone(l.hear(3, l.viewChange(3, 11, nil)), "send all: view-change")
	l.want(l.hear(1, l.viewChange(1, 4, nil)), "send all: view-change v4 by=6", "joined")
	l.want(l.hear(5, l.viewChange(5, 7, nil)), "send all: view-change v5 by=6")
}

func TestSection7_2_OnlyThePrimarysOwnViewChangeIsAbdication(t *testing.T) {
	l := newLab(t, 4, 2, nil)
	l.wantNone(l.hear(1, l.viewChange(1, 1, nil)), "send all: view-change")
	l.wantNone(l.hear(0, l.viewChange(0, 2, nil)), "abdication") // not of its view
	l = newLab(t, 4, 2, nil)
	l.want(l.hear(0, l.viewChange(0, 1, nil)), "send all: view-change v1 by=2", "abdication")
	if l.views.backoff != 0 {
		t.Fatal("abdication lengthened the timeout")
	}
}

func TestSection7_2_TheNewViewTimerWaitsForAQuorum(t *testing.T) {
	l := newLab(t, 4, 2, nil)
	l.watched(1)
	l.ticks(200)
	l.wantNone(l.ticks(3000), "new_view_late") // alone
	l.hear(3, l.viewChange(3, 1, nil))
	l.hear(0, l.viewChange(0, 1, nil)) // three of four now
	timeout := l.timeout()
	if timeout != 400 {
		t.Fatalf("timeout %d ticks, want twice 200: the first view brought nothing", timeout)
	}
	l.wantNone(l.ticks(int(timeout)-1), "new_view_late")
	l.want(l.ticks(1), "send all: view-change v2 by=2", "new_view_late")
	if l.timeout() != 800 {
		t.Fatalf("timeout %d ticks, want 800", l.timeout())
	}
}

func TestSection7_2_TheTimeoutFallsAgainAndIsBounded(t *testing.T) {
	l := newLab(t, 4, 2, func(c *Config) { c.MaxTimeout = 1000 })
	l.views.backoff = maxBackoff
	if got := l.timeout(); got != 1000 {
		t.Fatalf("timeout %d, want the most, 1000", got)
	}
	l.views.backoff = 2
	for _, want := range []uint64{800, 400, 200, 200} {
		if got := l.timeout(); got != want {
			t.Fatalf("timeout %d, want %d", got, want)
		}
		l.lastExec += settle
		l.calm()
	}
}

func TestSection7_1_NoVoteInAViewThatWasGivenUp(t *testing.T) {
	l := newLab(t, 4, 2, nil)
	b := l.batch(1, "a", 1)
	l.hear(0, &message.PrePrepare{Batch: b})
	l.hear(0, &message.Prepare{N: 1, Digest: b.Digest})
	l.do(Input{Kind: InRequest, Group: makeGroup("z", 1), Source: Source{Alone: true}})
	l.ticks(200)
	if l.status != message.Changing {
		t.Fatal(l.status)
	}
	l.wantNone(l.hear(1, &message.Prepare{N: 1, Digest: b.Digest}), "send all: commit") // a quorum now
	l.wantNone(l.hear(0, &message.PrePrepare{Batch: l.batch(2, "a", 2)}), "send all: prepare")
	l.wantNone(l.hear(3, &message.Status{Status: message.Normal, WantStatus: true}), "send 3: prepare")
	for _, from := range []int{0, 1, 3} { // learning goes on
		l.hear(from, &message.Commit{N: 1, Digest: b.Digest})
	}
	if l.lastExec != 1 {
		t.Fatal("what a quorum committed is not executed")
	}
}

func TestSection7_3_WhatIsPreparedIsChosenWhatIsNotIsNull(t *testing.T) {
	l := newLab(t, 4, 3, nil)
	chosen := l.batch(2, "a", 2)
	d := chosen.Digest
	knows := func(m *message.ViewChange) {
		m.P = []message.PQ{{N: 2, Digest: d, View: 0}}
		m.Q = []message.PQ{{N: 2, Digest: d, View: 0}}
	}
	voted := func(m *message.ViewChange) { m.Q = []message.PQ{{N: 2, Digest: d, View: 0}} }
	set := []*message.ViewChange{l.viewChange(0, 1, knows), l.viewChange(1, 1, voted), l.viewChange(2, 1, nil)}
	for i, vc := range set {
		l.hear(i, vc)
	}
	out := l.hear(1, l.newView(1, set...))
	l.want(out, "event view 1", "send all: prepare v1 n1 "+l.nullDigest(1).String())
	l.wantNone(out, "prepare v1 n2") // its body is missing
	if s := l.slot(2); l.view != 1 || l.top != 2 || s.digest != d || s.want != d {
		t.Fatalf("view %d, top %d, slot 2: %+v", l.view, l.top, s)
	}
	l.want(l.hear(1, &message.PrePrepare{View: 1, Batch: l.batch(2, "b", 1)}), "below_top")
	l.want(l.ticks(20), "fetch-body ["+d.String()+"]")
	l.want(l.hear(0, &message.Body{Batch: chosen}), "persist", "send all: prepare v1 n2 "+d.String())
	l.want(l.hear(1, &message.PrePrepare{View: 1, Batch: l.batch(3, "b", 1)}), "send all: prepare v1 n3")
}

func TestSection7_6_ANewViewThatDoesNotFollowIsSuspicious(t *testing.T) {
	for name, edit := range map[string]func(l *lab, m *message.NewView){
		"another decision": func(_ *lab, m *message.NewView) { m.DecisionDigest[0]++ },
	} {
		l := newLab(t, 4, 3, nil)
		set := []*message.ViewChange{l.viewChange(0, 1, nil), l.viewChange(1, 1, nil), l.viewChange(2, 1, nil)}
		for i, vc := range set {
			l.hear(i, vc)
		}
		m := l.newView(1, set...)
		edit(l, m)
		l.want(l.hear(1, m), "rejected from 1: bad_new_view", "send all: view-change v2 by=3")
		if l.view != 0 {
			t.Fatalf("%s: view %d", name, l.view)
		}
	}
}

func TestSection7_6_NewViewsThatNobodyMaySend(t *testing.T) {
	l := newLab(t, 4, 3, nil)
	set := []*message.ViewChange{l.viewChange(0, 1, nil), l.viewChange(1, 1, nil), l.viewChange(2, 1, nil)}
	m := l.newView(1, set...)
	m.Replica = 2
	l.want(l.hear(2, m), "not_primary")
	m = l.newView(1, set...)
	m.ViewChanges = m.ViewChanges[:2]
	l.want(l.hear(1, m), "bad_new_view")
	m = l.newView(1, set...)
	m.ViewChanges[2].Replica = 60
	l.want(l.hear(1, m), "bad_new_view")
	m.View = 0
	m.Replica = 0
	l.wantNone(l.hear(0, m), "event view")
	if l.status != message.Normal || l.view != 0 {
		t.Fatalf("%s in view %d", l.status, l.view)
	}
}

func TestSection7_6_MissingViewChangesAreFetchedAndProposalsWait(t *testing.T) {
	l := newLab(t, 4, 3, nil)
	set := []*message.ViewChange{l.viewChange(0, 1, nil), l.viewChange(1, 1, nil), l.viewChange(2, 1, nil)}
	l.hear(0, set[0])
	out := l.hear(1, l.newView(1, set...))
	l.want(out, "fetch-view-change v1 by=1", "fetch-view-change v1 by=2")
	l.wantNone(l.hear(1, &message.PrePrepare{View: 1, Batch: l.batch(1, "a", 1)}), "prepare", "rejected")
	l.hear(2, set[2])
	l.want(l.hear(2, set[1]), "event view 1", "send all: prepare v1 n1")
}

func TestSection7_6_AReplicaInALowerViewIsBroughtAlong(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	for _, from := range []int{0, 2, 3} {
		l.hear(from, l.viewChange(from, 1, nil))
	}
	if !l.normal() || l.view != 1 || !l.isPrimary() {
		t.Fatalf("%s in view %d", l.status, l.view)
	}
	out := l.hear(3, &message.Status{Status: message.Normal})
	l.want(out, "send 3: new-view v1", "send 3: view-change v1 by=0", "send 3: view-change v1 by=1")
	own := l.views.last.ViewChanges[1]
	l.want(l.hear(3, &message.FetchViewChange{Ref: own, View: 1}), "send 3: view-change v1 by=1")
	l.wantNone(l.hear(3, &message.Status{View: 1, Status: message.Normal}), "new-view")
}

func TestSection7_6_AHigherViewThatWasAskedForIsNotLeft(t *testing.T) {
	l := newLab(t, 4, 3, nil)
	set := []*message.ViewChange{l.viewChange(0, 1, nil), l.viewChange(1, 1, nil), l.viewChange(2, 1, nil)}
	m := l.newView(1, set...)
	l.hear(0, l.viewChange(0, 2, nil))
	l.want(l.hear(1, l.viewChange(1, 2, nil)), "send all: view-change v2 by=3")
	l.hear(1, m)
	for i, vc := range set {
		l.hear(i, vc)
	}
	if l.view != 0 || l.views.asked != 2 {
		t.Fatalf("view %d, asked for %d", l.view, l.views.asked)
	}
}

func TestSection8_3_AReplicaThatChangesAlonePassesItsRequestsToAll(t *testing.T) {
	l := newLab(t, 4, 2, nil)
	l.watched(1)
	l.ticks(200)
	l.want(l.ticks(200), "send all: relay a#1 count=1 watch=true")
}

func TestSection3_3_AnInvalidProposalOfThePrimaryIsSuspicious(t *testing.T) {
	l := newLab(t, 4, 2, nil)
	l.wantNone(l.hear(1, &message.PrePrepare{}), "view-change")
	l.wantNone(l.hear(0, &message.PrePrepare{View: 4}), "view-change")
	l.want(l.hear(0, &message.PrePrepare{}), "send all: view-change v1 by=2", "bad_proposal")
	l.wantNone(l.hear(0, &message.PrePrepare{}), "view-change")
}
