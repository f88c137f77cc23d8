package sim

import (
	"math"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

func init() {
	register("B14 votes for what nobody proposed", func() Behaviour { return &inventive{} })
	register("B15 votes that flip", func() Behaviour { return &fickle{} })
	register("B16 votes for huge views and numbers", func() Behaviour { return &farVotes{} })
	register("B17 votes without grounds", func() Behaviour { return &hasty{said: map[proposal]bool{}} })
	register("B17 commits without prepares", func() Behaviour { return &hasty{said: map[proposal]bool{}, mute: true} })
}

// voteIn is a vote that a message is.
func voteIn(m message.Message) (Vote, bool) {
	switch m := m.(type) {
	case *message.Prepare:
		return Vote{View: m.View, N: m.N, Digest: m.Digest}, true
	case *message.Commit:
		return Vote{Commit: true, View: m.View, N: m.N, Digest: m.Digest}, true
	}
	return Vote{}, false
}

// message makes a vote again.
func (v Vote) message() message.Message {
	if v.Commit {
		return &message.Commit{View: v.View, N: v.N, Digest: v.Digest}
	}
	return &message.Prepare{View: v.View, N: v.N, Digest: v.Digest}
}

// inventive votes for batches that nobody proposed, the same ones as all liars,
// instead of its own votes or beside them. Who asks for their bodies gets them.
// (B14)
type inventive struct{ Honest }

// unproposed are batches that liars made and nobody proposed.
type unproposed struct {
	at map[uint64]*message.Batch // by number
	by map[crypto.Digest]*message.Batch
}

func unproposedBy(c *Collusion) *unproposed {
	u, ok := c.Notes["unproposed"].(*unproposed)
	if !ok {
		u = &unproposed{map[uint64]*message.Batch{}, map[crypto.Digest]*message.Batch{}}
		c.Notes["unproposed"] = u
	}
	return u
}

// unproposed is what liars vote for at a number: the null batch, nothing that
// exists, or a batch that no correct replica would take from a primary.
func (l *Liar) unproposed(n uint64) crypto.Digest {
	switch n % 3 {
	case 0:
		return clusterID.NullDigest(0, n)
	case 1:
		return l.invented(n)
	}
	u := unproposedBy(l.Collusion)
	b := u.at[n]
	if b == nil {
		b = l.Collusion.Batch(n, l.Clock()+10*maxDriftUS, l.Collusion.Group("put k0 unproposed"))
		u.at[n], u.by[b.Digest] = b, b
	}
	return b.Digest
}

// Send votes otherwise.
func (inventive) Send(l *Liar, to int, m message.Message) []Outgoing {
	out := []Outgoing{{to, m}}
	v, ok := voteIn(m)
	if !ok {
		return out
	}
	v.N += pick[uint64](l.Rand, 0, 0, 0, 1, l.Plan.Window/2)
	v.Digest = l.unproposed(v.N)
	k := l.Rand.IntN(4)
	if k == 0 {
		return out
	}
	l.lied("B14 vote for an invented digest")
	lie := Outgoing{to, v.message()}
	return [][]Outgoing{{lie}, {lie, out[0]}, {out[0], lie}}[k-1]
}

// Receive gives bodies.
func (inventive) Receive(l *Liar, from int, m message.Message) []message.Message {
	if m, ok := m.(*message.FetchBody); ok {
		for _, d := range m.Digests {
			if b := unproposedBy(l.Collusion).by[d]; b != nil {
				l.Send(from, &message.Body{Batch: b})
			}
		}
	}
	return []message.Message{m}
}

// fickle votes several times: for another digest, in another view, and for what
// it voted before. (B15)
type fickle struct{ Honest }

// Send flips.
func (fickle) Send(l *Liar, to int, m message.Message) []Outgoing {
	v, ok := voteIn(m)
	if !ok || l.Rand.IntN(3) == 0 {
		return []Outgoing{{to, m}}
	}
	other := l.invented(v.N)
	for i := range l.Collusion.Votes {
		if o := &l.Collusion.Votes[i]; o.N == v.N && o.Digest != v.Digest {
			other = o.Digest
		}
	}
	var out []Outgoing
	for range 1 + l.Rand.IntN(4) {
		x := v
		if l.Rand.IntN(2) == 0 {
			x.Digest = other
		}
		x.View += pick[uint64](l.Rand, 0, 0, 0, 1, 2)
		x.View -= min(x.View, pick[uint64](l.Rand, 0, 0, 1))
		x.Commit = x.Commit != (l.Rand.IntN(4) == 0)
		if x != v {
			l.lied("B15 vote that is not the core's")
		}
		out = append(out, Outgoing{to, x.message()})
	}
	return out
}

// farVotes votes for views and numbers that are far off, beside its own votes.
// (B16)
type farVotes struct{ Honest }

// Send adds votes.
func (farVotes) Send(l *Liar, to int, m message.Message) []Outgoing {
	out := []Outgoing{{to, m}}
	v, ok := voteIn(m)
	if !ok || l.Rand.IntN(6) != 0 {
		return out
	}
	x := v
	switch l.Rand.IntN(4) {
	case 0:
		x.View = pick[uint64](l.Rand, math.MaxUint64, math.MaxUint64-1, 1<<40, v.View+1000)
	case 1:
		x.N = pick[uint64](l.Rand, math.MaxUint64, 1<<40, v.N+l.Plan.Window, 0)
	case 2:
		x.N, x.View = pick[uint64](l.Rand, math.MaxUint64, l.Core().Info().LowWatermark+l.Plan.Window), math.MaxUint64
	case 3:
		x.Digest = crypto.Digest{}
		x.View = math.MaxUint64 // as if there were no vote at all, to one who counts from 1
	}
	l.lied("B16 vote for a huge view or number")
	return append(out, Outgoing{to, x.message()})
}

// hasty commits what it is not prepared for, and prepares what it has not got,
// as soon as it hears of it. (B17)
type hasty struct {
	Honest
	said map[proposal]bool
	mute bool // it prepares half of the numbers only, and commits all
}

// Send commits together with the own proposal, and drops some prepares.
func (h *hasty) Send(l *Liar, to int, m message.Message) []Outgoing {
	out := []Outgoing{{to, m}}
	switch m := m.(type) {
	case *message.PrePrepare:
		l.lied("B17 commit together with the proposal")
		return append(out, bothVotes(to, m)[1])
	case *message.Prepare:
		if h.mute && m.N%2 == 0 {
			return nil
		}
	}
	return out
}

// Receive votes at once for whatever anybody speaks of.
func (h *hasty) Receive(l *Liar, _ int, m message.Message) []message.Message {
	in := []message.Message{m}
	var v Vote
	switch m := m.(type) {
	case *message.PrePrepare:
		if m.Batch == nil {
			return in
		}
		v = Vote{View: m.View, N: m.Batch.Header.N, Digest: m.Batch.Digest}
	case *message.Prepare:
		v = Vote{View: m.View, N: m.N, Digest: m.Digest}
	default:
		return in
	}
	if at := (proposal{v.View, v.Digest}); !h.said[at] {
		h.said[at] = true
		l.lied("B17 votes without grounds")
		v.Commit = true
		l.Broadcast(v.message())
		if v.Commit = false; !h.mute || v.N%2 == 1 {
			l.Broadcast(v.message())
		}
	}
	return in
}
