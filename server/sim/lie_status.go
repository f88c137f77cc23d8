package sim

import (
	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

func init() {
	register("B36 false status", func() Behaviour { return &falseStatus{} })
	register("B36 floods of questions", func() Behaviour { return &curious{} })
}

// falseStatus claims to lack everything, or to be far ahead, by turns. (B36)
type falseStatus struct {
	Honest
	kind  int
	until int64
}

// Tick turns to another claim now and then.
func (f *falseStatus) Tick(l *Liar) {
	if l.Now() >= f.until {
		f.kind, f.until = l.Rand.IntN(5), l.Now()+between(l.Rand, 1, 4*l.timeout())
	}
}

// Send changes each Status. Between liars that would go on for ever: each would
// answer at once, and ask in its answer.
func (f *falseStatus) Send(l *Liar, to int, m message.Message) []Outgoing {
	s, ok := m.(*message.Status)
	if !ok || l.Collusion.Lies(to) {
		return []Outgoing{{to, m}}
	}
	x := *s
	far := l.Rand.Uint64() >> l.Rand.IntN(60)
	switch f.kind {
	case 0:
		x = message.Status{Status: s.Status, WantStatus: true}
		l.lied("B36 status that lacks everything")
	case 1: // of this view, so that votes and proposals are sent again
		x = message.Status{View: s.View, VCView: s.VCView, Status: message.Normal, H: s.H, LastExecuted: s.H, LastCommitted: s.H, WantStatus: true, Probe: true}
		l.lied("B36 status that lacks everything")
	case 2:
		x.View, x.VCView = s.View+far, s.VCView+far
		l.lied("B36 status of a far view")
	case 3:
		x.H, x.LastExecuted, x.LastCommitted = s.H+far, s.LastExecuted+far, s.LastCommitted+far
		l.lied("B36 status of far numbers")
	default:
		x.Status = message.ReplicaStatus(l.Rand.IntN(7))
		x.H, x.LastExecuted, x.LastCommitted = far, ^far, ^uint64(0)-uint64(l.Rand.IntN(2))
		x.HasBody, x.Prepared, x.Committed, x.ViewChanges = far, ^far, far<<1, ^far
		x.Accepted = make([]uint64, l.Rand.IntN(message.StatusSpan+2)) // one more than there may be at times
		x.HighestVote = message.PQ{N: far, View: ^far}
		x.HighestViewChange = ^uint64(0)
		l.lied("B36 status of nonsense")
	}
	x.SeenYou = l.Rand.IntN(2) == 0 // which keeps new replicas waiting
	return []Outgoing{{to, &x}}
}

// curious asks everybody for everything, all the time. (B36)
type curious struct {
	Honest
	at int64
}

// Tick asks one replica for something.
func (c *curious) Tick(l *Liar) {
	if l.Now() < c.at {
		return
	}
	c.at = l.Now() + between(l.Rand, 1, l.timeout()/16)
	l.lied("B36 flood of questions")
	to := l.Rand.IntN(l.N)
	m := l.question()
	for range 3 {
		l.Send(to, m)
	}
}

// question is one of those that replicas ask, as large as it may be.
func (l *Liar) question() message.Message {
	info := l.Core().Info()
	stable := l.Core().Certificate()
	n := pick(l.Rand, stable.N(), info.LowWatermark, l.Rand.Uint64())
	switch l.Rand.IntN(8) {
	case 0:
		m := &message.FetchBody{}
		for i := range message.MaxFetch + l.Rand.IntN(2) {
			d := l.invented(uint64(i))
			if k := len(l.Collusion.Batches); k > 0 && i%8 != 0 {
				d = l.Collusion.Batches[l.Rand.IntN(k)].Digest
			}
			m.Digests = append(m.Digests, d)
		}
		return m
	case 1:
		first := pick(l.Rand, 0, 1, info.LastCommitted, ^uint64(0)-8)
		return &message.FetchCommitted{From: first, To: first + pick[uint64](l.Rand, 8, message.MaxCommitted-1, message.MaxCommitted)}
	case 2:
		ref := message.ViewChangeRef{Replica: message.ReplicaID(l.Rand.IntN(l.N + 1)), Digest: l.invented(n)}
		if k := len(l.Collusion.NewViews); k > 0 {
			nv := l.Collusion.NewViews[l.Rand.IntN(k)]
			ref = nv.ViewChanges[l.Rand.IntN(len(nv.ViewChanges))]
		}
		return &message.FetchViewChange{Ref: ref, View: l.View()}
	case 3:
		return &message.FetchCertificate{Epoch: uint64(l.Rand.IntN(2))}
	case 4:
		var d crypto.Digest
		if len(stable.Votes) > 0 {
			d = stable.Votes[0].Digest
		}
		return &message.FetchManifest{N: n, Digest: d}
	case 5:
		return &message.FetchNodes{N: n, Component: l.component(), Level: uint32(l.Rand.IntN(6)), Indexes: l.indexes()}
	case 6:
		return &message.FetchPieces{N: n, Component: l.component(), Indexes: l.indexes(), Offset: pick(l.Rand, 0, 0, l.Rand.Uint64())}
	}
	return &message.FetchReply{Client: l.w.clients[l.Rand.IntN(len(l.w.clients))].name, Number: l.Rand.Uint64N(4000)}
}

// component is one of the three, or none.
func (l *Liar) component() message.Component { return message.Component(l.Rand.IntN(5)) }

// indexes are some, none, or one too many; of what is there, mostly.
func (l *Liar) indexes() []uint32 {
	list := make([]uint32, pick(l.Rand, 0, 1, 1, 4, 16, 16, 32, message.MaxIndexes+1))
	first := pick(l.Rand, 0, 0, l.Rand.Uint32N(4096), l.Rand.Uint32())
	for i := range list {
		list[i] = first + uint32(i)
	}
	return list
}
