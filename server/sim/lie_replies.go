package sim

import (
	"fmt"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
)

func init() {
	register("B33 false replies", func() Behaviour { return &falseReplies{} })
}

// falseReplies tells clients, and the replicas that wait for them, what was not
// executed, or not so. All liars of a run tell the same. (B33)
type falseReplies struct {
	Honest
	at int64
}

// Answer changes answers in a way that depends on the request.
func (f *falseReplies) Answer(l *Liar, a *Answer) []*Answer {
	if a.Refused != consensus.OK || len(a.Results) == 0 {
		return []*Answer{a}
	}
	x := *a
	x.Results = nil
	for i := range a.Results {
		x.Results = append(x.Results, l.falseResult(&a.Results[i]))
	}
	kind := a.Results[0].Number / 8 % 6
	switch kind {
	case 0: // results that do not belong to the digest
		l.lied("B33 results without their digest")
	case 1: // the other way round
		x.Results, x.Digest = a.Results, l.invented(a.N)
		l.lied("B33 digest without its results")
	case 2:
		x.Results, x.N = a.Results, a.N+1<<20
		l.lied("B33 answer of another batch")
	case 3:
		x.Results, x.View = a.Results, a.View+1<<40
		l.lied("B33 answer of a far view")
	case 4:
		x = Answer{Client: a.Client, Session: a.Session, View: a.View, Refused: consensus.Overloaded, Numbers: []uint64{a.Results[0].Number}}
		l.lied("B33 refusal of what was executed")
	default:
		x.Digest = blockOf(a.Session, x.Results)
		l.lied("B33 false block")
	}
	return []*Answer{&x}
}

// blockOf is the digest of a block.
func blockOf(session uint64, results []crypto.Result) crypto.Digest {
	var h crypto.BlockHasher
	h.Reset(clusterID)
	for i := range results {
		h.Add(session, &results[i])
	}
	return h.Sum()
}

// falseResult is what all liars say of a request.
func (l *Liar) falseResult(r *crypto.Result) crypto.Result {
	x := *r
	switch r.Number % 5 {
	case 0:
		x.Status = crypto.StatusExpired
	case 1:
		x.Status = crypto.StatusRejected
	case 2:
		x.N++
	case 3: // a result that is too old to be kept, with another digest
		x.Tombstone, x.Value, x.Digest, x.Size = true, nil, l.invented(r.Number), 1<<40
	default:
		x.Tombstone, x.Value = false, fmt.Appendf(nil, "false %d", r.Number)
	}
	return x
}

// Send changes replies to other replicas.
func (f *falseReplies) Send(l *Liar, to int, m message.Message) []Outgoing {
	if r, ok := m.(*message.Reply); ok {
		x := *r
		x.Result = l.falseResult(&r.Result)
		l.lied("B33 false reply to a replica")
		m = &x
	}
	return []Outgoing{{to, m}}
}

// Tick answers what was not executed yet, if anything, in all ways in which
// clients hear answers.
func (f *falseReplies) Tick(l *Liar) {
	if f.at == 0 {
		recruit(l, func() *falseReplies { return &falseReplies{at: 1} })
	}
	last := len(l.Collusion.Groups) - 1
	if l.Now() < f.at || last < 0 {
		return
	}
	f.at = l.Now() + between(l.Rand, 1, l.timeout()/4)
	g := &l.Collusion.Groups[last]
	name := string(g.Client)
	var results []crypto.Result
	var r crypto.Request
	for cur := g.Cursor(); cur.Next(&r); {
		results = append(results, l.falseResult(&crypto.Result{N: 1 + r.Number%64, Number: r.Number, Status: crypto.StatusOK}))
	}
	l.lied("B33 answer to what was not executed")
	a := Answer{Client: name, Session: g.Session, View: l.View(), Results: results}
	if c := l.w.names[name]; c != nil {
		block := a
		block.N, block.Digest = results[0].N, blockOf(g.Session, results)
		l.h.carry(c, &block)
		for _, posted := range []bool{false, true} {
			one := a
			one.Results, one.Posted = results[:1], posted
			l.h.carry(c, &one)
		}
	}
	for to := range l.N {
		l.Send(to, &message.Reply{View: a.View, Client: name, Session: a.Session, Result: results[0], Replica: message.ReplicaID(l.Index)})
	}
}
