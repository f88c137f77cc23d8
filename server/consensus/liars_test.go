package consensus

import (
	"testing"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// TestSection8_5_ANewViewOfAHugeViewBlocksNothing: a liar signs one for a view
// that it leads and names view changes that do not exist. Then it falls silent.
func TestSection8_5_ANewViewOfAHugeViewBlocksNothing(t *testing.T) {
	c := newCluster(t, 4, nil)
	nv := &message.NewView{Replica: 0, Incarnation: 1, View: 4 << 40}
	for i := range 3 {
		nv.ViewChanges = append(nv.ViewChanges, message.ViewChangeRef{Replica: message.ReplicaID(i), Digest: crypto.Digest{9, byte(i)}})
	}
	for _, nd := range c.nodes[1:] {
		nd.step(Input{Kind: InMessage, From: 0, Msg: nv})
		nd.flush()
	}
	c.nodes[0].stopped = true
	c.request(1, Source{Retry: true}, "a", 1)
	c.settle("the request", func() bool { return c.live(1) })
	if c.tick > 2*c.nodes[1].Replica.c.Timeout {
		t.Fatalf("it took %d ticks", c.tick)
	}
}

// TestSection7_6_ANewViewThatNobodyAskedForMovesNobody: it names view changes
// that are known, but for another view.
func TestSection7_6_ANewViewThatNobodyAskedForMovesNobody(t *testing.T) {
	l := newLab(t, 4, 2, nil)
	set := []*message.ViewChange{l.viewChange(0, 1, nil), l.viewChange(1, 1, nil), l.viewChange(3, 1, nil)}
	for _, vc := range set {
		l.hear(int(vc.Replica), vc)
	}
	l.hear(1, l.newView(1, set...))
	nv := &message.NewView{Replica: 3, Incarnation: 1, View: 4<<20 + 3}
	for _, vc := range set {
		nv.ViewChanges = append(nv.ViewChanges, message.ViewChangeRef{Replica: vc.Replica, Digest: vc.Digest(l.c.id)})
	}
	l.want(l.hear(3, nv), "bad_new_view")
	if l.status != message.Normal || l.view != 1 || l.views.asked != 1 {
		t.Fatalf("%s in view %d, asked for %d", l.status, l.view, l.views.asked)
	}
}

func TestSection7_1_CheckpointVotesGoOnBetweenTwoViews(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	l.run(1, 3)
	b := l.batch(4, "a", 4)
	l.hear(0, &message.PrePrepare{Batch: b})
	l.act(func(r *Replica) { r.changeView(1, NoProgress) })
	l.hear(0, &message.Commit{N: 4, Digest: b.Digest})
	l.hear(2, &message.Commit{N: 4, Digest: b.Digest})
	l.want(l.hear(3, &message.Commit{N: 4, Digest: b.Digest}), "send all: checkpoint n4")
	if l.ckpt.at(4).votes[1] == nil {
		t.Fatal("the own vote does not count")
	}
}

// TestSection8_3_OneThatIsCutOffSuspectsNobody: it comes back to its view with
// what its clients brought, and votes at once.
func TestSection8_3_OneThatIsCutOffSuspectsNobody(t *testing.T) {
	c := newCluster(t, 4, nil)
	c.request(0, Source{}, "a", 1)
	c.settle("the first request", func() bool { return c.live(1) })
	c.request(3, Source{Alone: true}, "b", 1)
	for end := c.tick + 5*c.nodes[3].Replica.c.Timeout; c.tick < end; {
		for i := 0; i < len(c.queue); i++ {
			if e := c.queue[i]; e.from == 3 || e.to == 3 {
				c.queue = append(c.queue[:i], c.queue[i+1:]...)
				i--
			}
		}
		if len(c.queue) > 0 {
			c.deliver(0)
		} else {
			c.ticks(1)
		}
	}
	if nd := c.nodes[3]; nd.status != message.Normal || nd.views.asked != 0 {
		t.Fatalf("%s, asked for view %d", nd.status, nd.views.asked)
	}
	c.settle("the second request", func() bool { return c.live(2) })
}

// TestSection7_6_TwoNewViewsOfOneViewHaltNobody: B28. One ends below 1, and what
// was proposed there is committed among those who entered by it; the other one
// has the null batch at 1. (Found by the simulator, B28.)
func TestSection7_6_TwoNewViewsOfOneViewHaltNobody(t *testing.T) {
	l := newLab(t, 4, 3, nil)
	q := func(m *message.ViewChange) { m.Q = []message.PQ{{N: 1, Digest: crypto.Digest{7}}} }
	set := []*message.ViewChange{l.viewChange(0, 1, q), l.viewChange(1, 1, q), l.viewChange(2, 1, nil)}
	for _, vc := range set {
		l.hear(int(vc.Replica), vc)
	}
	b := l.batch(1, "a", 1)
	for i := range 3 {
		l.hear(i, &message.Commit{View: 1, N: 1, Digest: b.Digest})
	}
	lines := l.hear(1, l.newView(1, set...))
	l.want(lines, "event view 1", "equivocation of 1 at n1")
	l.wantNone(lines, "halt", "send all: prepare v1 n1")
	l.want(l.hear(0, &message.Body{Batch: b}), "execute n1")
}

func TestSection3_4_AVoteOfTheLastViewOfAllIsNoVote(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	l.want(l.hear(2, &message.Prepare{View: 1<<64 - 1, N: 1, Digest: crypto.Digest{1}}), "wrong_view")
}
