package sim

import (
	"bytes"
	"slices"

	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
)

func init() {
	register("B03 false bodies", func() Behaviour { return &falseBodies{sent: map[proposal]*falseBody{}} })
	register("B04 withheld bodies", func() Behaviour { return &secretBodies{got: map[proposal]uint64{}} })
	register("B05 proposals to one less than a quorum", func() Behaviour { return &almost{sent: map[proposal]almostAll{}} })
}

// chosen draws k of the replicas that do not lie, one bit each.
func (l *Liar) chosen(k int) (set uint64) {
	others := l.Others()
	for _, i := range l.Rand.Perm(len(others))[:min(k, len(others))] {
		set |= 1 << others[i]
	}
	return set
}

// falseBodies sends some of the others a proposal whose body is not that of its
// header, or that is wrong in itself, and answers questions for bodies with
// others. (B3)
type falseBodies struct {
	Honest
	sent map[proposal]*falseBody
	last *message.Batch
}

type falseBody struct {
	to uint64 // one bit each
	m  *message.PrePrepare
}

// Send replaces bodies.
func (f *falseBodies) Send(l *Liar, to int, m message.Message) []Outgoing {
	switch m := m.(type) {
	case *message.PrePrepare:
		x := f.sent[proposalOf(m)]
		if x == nil {
			x = &falseBody{}
			if l.Rand.IntN(3) == 0 {
				*x = falseBody{l.chosen(pick(l.Rand, 1, l.F, l.F+1, l.N)), &message.PrePrepare{View: m.View, Batch: spoil(l, m.Batch)}}
			}
			f.sent[proposalOf(m)] = x
		}
		f.last = m.Batch
		if x.to&(1<<to) != 0 {
			l.lied("B03 proposal with a false body")
			return []Outgoing{{to, x.m}}
		}
	case *message.Body:
		l.lied("B03 false body in an answer")
		if f.last != nil && l.Rand.IntN(2) == 0 {
			return []Outgoing{{to, &message.Body{Batch: f.last}}} // a true one, of something else
		}
		return []Outgoing{{to, &message.Body{Batch: spoil(l, m.Batch)}}}
	}
	return []Outgoing{{to, m}}
}

// spoil makes an invalid batch of a valid one. A channel reads header and body
// alone.
func spoil(l *Liar, b *message.Batch) *message.Batch {
	x := *b
	switch l.Rand.IntN(7) {
	case 0: // the same groups in another order, else with another byte
		x.Body = bytes.Clone(b.Body)
		if len(b.Groups) > 1 {
			groups := slices.Clone(b.Groups)
			slices.Reverse(groups)
			x.Body = l.Collusion.Batch(b.Header.N, b.Header.WallUS, groups...).Body
		}
		if bytes.Equal(x.Body, b.Body) {
			x.Body[len(x.Body)-1]++
		}
	case 1:
		x.Body = l.Collusion.Batch(b.Header.N, b.Header.WallUS, l.Collusion.Group("put k0 false")).Body
	case 2:
		x.Header.GroupsRoot[l.Rand.IntN(32)]++
	case 3:
		x.Header.Count++
	case 4:
		x.Body = append(bytes.Clone(b.Body), 0)
		x.Header.Bytes++
	case 5:
		x.Body = b.Body[:len(b.Body)-1]
	case 6: // valid for its channel, in an epoch that is not
		x.Header.Epoch++
	}
	x.Digest = x.Header.Digest(clusterID)
	return &x
}

// secretBodies votes for batches that nobody can get from it: it proposes them
// to some of the others or to none, and gives no bodies. (B4)
type secretBodies struct {
	Honest
	got map[proposal]uint64 // who got it, one bit each
}

// Send withholds.
func (s *secretBodies) Send(l *Liar, to int, m message.Message) []Outgoing {
	switch m := m.(type) {
	case *message.PrePrepare:
		got, ok := s.got[proposalOf(m)]
		if !ok {
			got = s.choose(l)
			s.got[proposalOf(m)] = got
		}
		if got&(1<<to) == 0 {
			return bothVotes(to, m)
		}
	case *message.Body:
		l.lied("B04 no answer with a body")
		return nil
	}
	return []Outgoing{{to, m}}
}

// choose draws who gets a proposal, beside the liars.
func (s *secretBodies) choose(l *Liar) (got uint64) {
	switch l.Rand.IntN(10) {
	case 0:
		l.lied("B04 proposal to nobody")
		return 0 // liars neither: their cores would have to vote for it
	case 1, 2, 3:
		l.lied("B04 proposal to one")
		got = l.chosen(1)
	case 4, 5, 6:
		l.lied("B04 proposal to all but f")
		got = l.chosen(l.N - len(l.Collusion.Liars) - l.F)
	default:
		return ^uint64(0)
	}
	for _, o := range l.Collusion.Liars {
		got |= 1 << o.Index
	}
	return got
}

// almost proposes each batch to one less than a quorum of the others, each time
// to different ones, and votes for all, for those, or not at all. (B5)
type almost struct {
	Honest
	sent map[proposal]almostAll
}

type almostAll struct{ got, votes uint64 } // one bit each

// Send leaves some out.
func (a *almost) Send(l *Liar, to int, m message.Message) []Outgoing {
	var at proposal
	switch m := m.(type) {
	case *message.PrePrepare:
		at = proposalOf(m)
		if _, ok := a.sent[at]; !ok {
			got := l.chosen(consensus.Quorum(l.N) - 1)
			for _, o := range l.Collusion.Liars {
				got |= 1 << o.Index
			}
			a.sent[at] = almostAll{got, pick(l.Rand, 0, got, ^uint64(0))}
			l.lied("B05 proposal to q-1")
		}
		if a.sent[at].got&(1<<to) == 0 {
			return nil
		}
		return []Outgoing{{to, m}}
	case *message.Prepare:
		at = proposal{m.View, m.Digest}
	case *message.Commit:
		at = proposal{m.View, m.Digest}
	}
	if x, ok := a.sent[at]; ok && x.votes&(1<<to) == 0 {
		return nil
	}
	return []Outgoing{{to, m}}
}
