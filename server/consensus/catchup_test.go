package consensus

import (
	"fmt"
	"testing"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// proof is a certificate of replicas 0, 2 and 3.
func (l *lab) proof(n uint64, d crypto.Digest) *message.StableCertificate {
	var c message.Certificate
	for _, i := range []int{0, 2, 3} {
		c.Votes = append(c.Votes, *l.vote(i, n, d))
	}
	return &message.StableCertificate{Certificate: c}
}

// act returns what the replica did when it acted as if an input had made it.
func (l *lab) act(f func(*Replica)) (lines []string) {
	l.c.trace = func(_ string, args ...any) { lines = append(lines, fmt.Sprint(args...)) }
	l.node.do(f)
	return lines
}

func TestSection6_2_WatermarkFollowsTheCertificate(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	l.want(l.hear(0, l.proof(4, crypto.Digest{5})), "stable n4")
	if l.h != 4 || l.lastExec != 0 || l.lastCommitted != 4 {
		t.Fatalf("h=%d exec=%d committed=%d", l.h, l.lastExec, l.lastCommitted)
	}
}

func TestSection6_2_ABehindReplicaVotesAboveTheWatermark(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	l.hear(0, l.proof(16, crypto.Digest{5}))
	b := l.batch(20, "a", 1)
	l.want(l.hear(0, &message.PrePrepare{Batch: b}), "send all: prepare v0 n20")
	l.want(l.hear(0, &message.PrePrepare{Batch: l.batch(33, "a", 2)}), "outside_window")
	l.want(l.hear(0, &message.PrePrepare{Batch: l.batch(16, "a", 2)}), "outside_window")
}

// TestSection9_1_ASmallGapIsReplayed: what was learned before the watermark
// passed it is kept, the rest comes as statements of f+1 replicas.
func TestSection9_1_ASmallGapIsReplayed(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	var batches []*message.Batch
	for n := range uint64(4) {
		batches = append(batches, l.batch(n+1, "a", n+1))
	}
	l.hear(0, &message.PrePrepare{Batch: batches[1]}) // not committed yet, but its body is here
	l.hear(0, l.proof(4, crypto.Digest{5}))
	l.want(l.ticks(int(l.Replica.c.RetryFirst)*3), "fetch-committed 1..16")
	for _, i := range []int{2, 3} {
		var m message.Committed
		for _, b := range batches {
			m.Entries = append(m.Entries, message.NDigest{N: b.Header.N, Digest: b.Digest})
		}
		l.hear(i, &m)
	}
	for i, b := range batches {
		if i != 1 {
			l.hear(2, &message.Body{Batch: b})
		}
	}
	if l.lastExec != 4 || l.out.Install != nil || l.catchUp.installing != 0 {
		t.Fatalf("executed %d, installing %d", l.lastExec, l.catchUp.installing)
	}
	for i := range l.tail {
		if l.tail[i].n != 0 {
			t.Fatalf("the tail still holds %d", l.tail[i].n)
		}
	}
}

// TestSection9_1_AGapThatGrowsIsTransferred: the replay works, but the others
// are faster.
func TestSection9_1_AGapThatGrowsIsTransferred(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	l.hear(0, l.proof(40, crypto.Digest{5}))
	for n := uint64(1); ; n++ {
		b := l.batch(n, "a", n)
		for _, i := range []int{2, 3} {
			l.hear(i, &message.Committed{Entries: []message.NDigest{{N: n, Digest: b.Digest}}})
		}
		l.hear(2, &message.Body{Batch: b})
		l.hear(0, l.proof(40+8*n, crypto.Digest{5}))
		if lines := l.ticks(20); has(lines, "install n") {
			break
		}
		if n == 15 {
			t.Fatalf("executed %d, stable is %d: still replaying", l.lastExec, l.h)
		}
	}
	l.wantNone(l.ticks(20), "install n") // once is enough
	l.want(l.hear(0, l.proof(1000, crypto.Digest{5})), "stable n1000")
	l.want(l.ticks(int(l.Replica.c.Timeout)), "install n1000")
}

// TestSection9_1_ALargeGapIsReplayedWhileThatGains: so the history has no gap.
func TestSection9_1_ALargeGapIsReplayedWhileThatGains(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	l.hear(0, l.proof(200, crypto.Digest{5}))
	for n := uint64(1); n <= 200; n++ {
		b := l.batch(n, "a", n)
		for _, i := range []int{2, 3} {
			l.hear(i, &message.Committed{Entries: []message.NDigest{{N: n, Digest: b.Digest}}})
		}
		l.hear(2, &message.Body{Batch: b})
		l.wantNone(l.ticks(5), "install n")
	}
	if l.lastExec != 200 {
		t.Fatalf("executed %d", l.lastExec)
	}
}

func TestSection9_1_AGapThatNobodyServesIsTransferred(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	l.wantNone(l.hear(0, l.proof(4, crypto.Digest{5})), "install")
	l.want(l.ticks(int(l.Replica.c.Timeout)), "install n4")
}

func TestSection9_3_AfterTheTransferTheReplicaGoesOn(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	l.do(Input{Kind: InRequest, Group: makeGroup("a", 1, 2, 3), Source: Source{Alone: true}})
	l.do(Input{Kind: InRequest, Group: makeGroup("b", 1), Source: Source{Alone: true}})
	b := l.batch(21, "a", 3)
	l.hear(0, l.proof(20, crypto.Digest{5}))
	l.want(l.ticks(int(l.Replica.c.Timeout)), "install n20")
	l.commit(21, b)
	if l.lastExec != 0 {
		t.Fatal("executed before the state was there")
	}
	l.want(l.do(Input{
		Kind: InStateInstalled, State: &message.State{N: 20, LastTimeUS: 77},
		Executed: &Executed{Windows: []Window{{Client: "a", Low: 2, Bits: []uint64{1 << 2}}}},
	}), "execute n21", "installed the state at n20")
	if l.lastExec != 21 || l.lastTimeUS <= 77 {
		t.Fatalf("executed %d, time %d", l.lastExec, l.lastTimeUS)
	}
	if l.pend.requests != 1 || l.pend.clients["b"] == nil {
		t.Fatalf("%d requests are pending; b's alone was not executed elsewhere", l.pend.requests)
	}
}

// TestSection7_2_ABehindReplicaBlamesNobody: what it lacks is its own lag.
func TestSection7_2_ABehindReplicaBlamesNobody(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	l.hear(0, l.proof(20, crypto.Digest{5}))
	for n := uint64(21); n < 30; n++ {
		l.commit(n, l.batch(n, "a", n))
		l.wantNone(l.ticks(int(l.Replica.c.Timeout)-1), "view change")
	}
}

func TestSection7_3_TheViewChangeNamesTheCertificate(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	l.run(1, 2)
	l.hear(0, l.proof(20, crypto.Digest{5}))
	l.hear(0, &message.PrePrepare{Batch: l.batch(22, "a", 22)})
	l.want(l.act(func(r *Replica) { r.changeView(1, NoProgress) }), "view-change v1 by=1 h=20 P=0 Q=1")
}

func TestSection5_6_ALearnerKnowsTheViewOfFPlusOneOthers(t *testing.T) {
	l := newLab(t, 4, 3, func(c *Config) { c.Fresh = true })
	for i, v := range []uint64{1 << 40, 5, 5} {
		l.hear(i, &message.Status{Status: message.Normal, SeenYou: true, View: v})
	}
	l.hear(2, &message.Status{Status: message.Normal, SeenYou: true, View: 6})
	if l.status != message.Learner || l.view != 6 {
		t.Fatalf("%s in view %d", l.status, l.view)
	}
}

// TestSection5_7_ALearnerTakesNothingBack (I14): it asked for view 2 before it knew
// that its disk lost votes, and the others are in view 1 now.
func TestSection5_7_ALearnerTakesNothingBack(t *testing.T) {
	l := newLab(t, 4, 3, nil)
	l.act(func(r *Replica) { r.changeView(2, Joined) })
	l.act(func(r *Replica) { r.setStatus(message.Learner, "test") })
	for i := range 2 {
		l.hear(i, &message.Status{Status: message.Normal, View: 1})
	}
	if l.view != 1 || l.views.asked != 2 {
		t.Errorf("in view %d, asked for %d, want 1 and still 2", l.view, l.views.asked)
	}
}

// TestSection7_2_OneThatInstallsAStateSuspectsNobody: its clients' requests may
// have been executed in the state that is on its way.
func TestSection7_2_OneThatInstallsAStateSuspectsNobody(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	l.do(Input{Kind: InRequest, Group: makeGroup("a", 1), Source: Source{Alone: true}})
	l.hear(0, l.proof(20, crypto.Digest{5}))
	l.wantNone(l.ticks(5*int(l.Replica.c.Timeout)), "view-change")
	l.do(Input{Kind: InStateInstalled, State: &message.State{N: 20}, Executed: &Executed{}})
	l.want(l.ticks(int(l.Replica.c.Timeout)), "view-change v1")
}
