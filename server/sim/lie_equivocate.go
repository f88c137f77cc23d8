package sim

import (
	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

func init() {
	register("B01 equivocating primary", func() Behaviour { return &equivocating{} })
	register("B02 equivocating primary that votes for both", func() Behaviour { return &equivocating{votes: true} })
}

// equivocating proposes one batch to half of the others, and another one under
// the same number to the rest (B1). With votes it votes for the one with those
// who got the one, and for the other with the others; so do all liars (B2).
type equivocating struct {
	Honest
	votes bool
}

// twin is a pair of batches for one number in one view.
type twin struct {
	a, b *message.Batch
	gotB uint64 // replicas that got b, one bit each
}

type twinKey struct{ view, n uint64 }

// twins are shared by all liars of a run.
func twins(c *Collusion) map[twinKey]*twin {
	t, ok := c.Notes["twins"].(map[twinKey]*twin)
	if !ok {
		t = map[twinKey]*twin{}
		c.Notes["twins"] = t
	}
	return t
}

// Send proposes two batches, and votes for what the receiver got.
func (e *equivocating) Send(l *Liar, to int, m message.Message) []Outgoing {
	switch m := m.(type) {
	case *message.PrePrepare:
		return e.propose(l, to, m)
	case *message.Prepare:
		if d, ok := e.other(l, to, m.View, m.N); ok {
			return []Outgoing{{to, &message.Prepare{View: m.View, N: m.N, Digest: d}}}
		}
	case *message.Commit:
		if d, ok := e.other(l, to, m.View, m.N); ok {
			return []Outgoing{{to, &message.Commit{View: m.View, N: m.N, Digest: d}}}
		}
	}
	return []Outgoing{{to, m}}
}

func (e *equivocating) propose(l *Liar, to int, m *message.PrePrepare) []Outgoing {
	n := m.Batch.Header.N
	all := twins(l.Collusion)
	t := all[twinKey{m.View, n}]
	if t == nil {
		t = &twin{a: m.Batch, b: l.Collusion.Batch(n, m.Batch.Header.WallUS+1, m.Batch.Groups...)}
		for i, k := range l.Rand.Perm(l.N) {
			if i%2 == 0 {
				t.gotB |= 1 << k
			}
		}
		all[twinKey{m.View, n}] = t
	}
	if t.gotB&(1<<to) == 0 {
		return []Outgoing{{to, m}}
	}
	out := []Outgoing{{to, &message.PrePrepare{View: m.View, Batch: t.b}}}
	if e.votes {
		d := t.b.Digest // the own core never votes for this one
		out = append(out,
			Outgoing{to, &message.Prepare{View: m.View, N: n, Digest: d}},
			Outgoing{to, &message.Commit{View: m.View, N: n, Digest: d}})
	}
	return out
}

// other is the digest to vote for with a replica that got the second batch.
func (e *equivocating) other(l *Liar, to int, view, n uint64) (crypto.Digest, bool) {
	t := twins(l.Collusion)[twinKey{view, n}]
	if !e.votes || t == nil || t.gotB&(1<<to) == 0 {
		return crypto.Digest{}, false
	}
	return t.b.Digest, true
}
