package consensus

import (
	"testing"

	"github.com/pbft-go/pbft/server/message"
)

func TestSection7_2_AComplaintMakesAllWatchWhatIsPending(t *testing.T) {
	l := newLab(t, 4, 2, nil)
	l.watched(1)
	l.want(l.do(Input{Kind: InComplaint}), "event complaint", "send all: relay a#1 count=1 watch=true")
	l.wantNone(l.do(Input{Kind: InComplaint}), "send") // one complaint a second
	if l.status != message.Normal {
		t.Fatal("a complaint alone deposed the primary")
	}
}

func TestSection7_2_AComplaintWithNothingPendingProbesThePrimary(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	l.want(l.do(Input{Kind: InComplaint}), "send 0: status", "probe=true")
	l.wantNone(l.ticks(int(l.Replica.c.Timeout)-1), "view-change")
	l.want(l.ticks(1), "send all: view-change v1 by=1")
}

func TestSection7_2_AProbeThatIsAnsweredChangesNothing(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	l.do(Input{Kind: InComplaint})
	l.ticks(50)
	l.commit(1, message.NewBatch(l.c.id, message.Header{N: 1}, nil))
	l.wantNone(l.ticks(3*int(l.Replica.c.Timeout)), "view-change", "probe=true")
}

func TestSection4_9_ThePrimaryAnswersAProbeWithAnEmptyBatch(t *testing.T) {
	l := newLab(t, 4, 0, nil)
	probe := &message.Status{Status: message.Normal, Probe: true}
	l.want(l.hear(1, probe), "send all: pre-prepare v0 n1", "count=0")
	l.wantNone(l.hear(2, probe), "pre-prepare v0 n2")
	l.commit(1, l.slot(1).body(l.slot(1).digest))
	l.wantNone(l.hear(2, probe), "pre-prepare v0 n2") // one a second
	l.ticks(101)
	l.wantNone(l.hear(2, &message.Status{View: 1, Status: message.Normal, Probe: true}), "pre-prepare v0 n2")
	l.want(l.hear(2, probe), "pre-prepare v0 n2")
}

func TestSection7_2_ComplaintsOnAWorkingClusterDeposeNobody(t *testing.T) {
	c := newCluster(t, 4, nil)
	for range 20 {
		for _, nd := range c.nodes {
			nd.step(Input{Kind: InComplaint})
			nd.flush()
		}
		at := c.tick
		c.settle("time", func() bool { return c.tick > at+50 })
	}
	for _, nd := range c.nodes {
		if nd.view != 0 || nd.views.asked != 0 || nd.lastExec == 0 {
			t.Fatalf("view %d, asked %d, executed %d", nd.view, nd.views.asked, nd.lastExec)
		}
	}
}

func TestSection7_2_AComplaintAboutASilentPrimaryDeposesIt(t *testing.T) {
	c := newCluster(t, 4, nil)
	c.nodes[0].stopped = true
	for _, nd := range c.nodes[1:] {
		nd.step(Input{Kind: InComplaint})
		nd.flush()
	}
	c.settle("view 1", func() bool { return c.nodes[1].view == 1 && c.nodes[2].view == 1 && c.nodes[3].view == 1 })
	c.settle("the probe is answered there", func() bool { return c.nodes[3].lastExec == 1 && !c.nodes[3].probe.open })
}
