package sim

import (
	"math"

	"github.com/pbft-go/pbft/server/message"
)

func init() {
	register("B06 gaps in numbers", func() Behaviour {
		g := &gaps{from: map[uint64]uint64{}}
		g.swapping = newSwapping(g.shift)
		return g
	})
	register("B07 numbers outside the window", func() Behaviour { return newBesides(outside) })
	register("B08 numbers used again", func() Behaviour {
		return &reusing{besides: newBesides(used), behind: map[uint64][]*message.PrePrepare{}}
	})
}

// gaps leaves numbers out: from some proposal on, all of the view come under
// higher ones. (B6)
type gaps struct {
	swapping
	from map[uint64]uint64 // by view: how many are left out
}

func (g *gaps) shift(l *Liar, m *message.PrePrepare) *message.Batch {
	if g.from[m.View] == 0 {
		if l.Rand.IntN(6) != 0 {
			return nil
		}
		g.from[m.View] = pick(l.Rand, 1, 1, 2, l.Plan.Window/2)
	}
	l.lied("B06 proposal behind a gap")
	h := &m.Batch.Header
	return l.Collusion.Batch(h.N+g.from[m.View], h.WallUS, m.Batch.Groups...)
}

// besides proposes, beside what its core does, the same requests under another
// number, and votes for that.
type besides struct {
	Honest
	number func(l *Liar, m *message.PrePrepare) (n uint64, what string) // 0: none
	also   map[proposal]*message.PrePrepare                             // nil: nothing
	hidden places
}

func newBesides(number func(l *Liar, m *message.PrePrepare) (uint64, string)) *besides {
	return &besides{number: number, also: map[proposal]*message.PrePrepare{}, hidden: places{}}
}

// Send proposes twice.
func (b *besides) Send(l *Liar, to int, m message.Message) []Outgoing {
	out := []Outgoing{{to, m}}
	pp, ok := m.(*message.PrePrepare)
	if !ok {
		return out
	}
	x, ok := b.also[proposalOf(pp)]
	if !ok {
		if n, what := b.number(l, pp); n > 0 {
			x = &message.PrePrepare{View: pp.View, Batch: l.Collusion.Batch(n, pp.Batch.Header.WallUS, pp.Batch.Groups...)}
			b.hidden[place{pp.View, n}] = n > pp.Batch.Header.N
			l.lied(what)
		}
		b.also[proposalOf(pp)] = x
	}
	if x == nil {
		return out
	}
	out = append(out, Outgoing{to, x})
	return append(out, bothVotes(to, x)...)
}

// Receive hides votes for what the core did not propose.
func (b *besides) Receive(l *Liar, from int, m message.Message) []message.Message {
	if b.hidden.hide(m) {
		return nil
	}
	return []message.Message{m}
}

// outside is a number that no replica may accept, or the last one that all may.
// (B7)
func outside(l *Liar, m *message.PrePrepare) (uint64, string) {
	top := l.Core().Info().LowWatermark + l.Plan.Window
	switch l.Rand.IntN(8) {
	case 0:
		return math.MaxUint64, "B07 proposal above all windows"
	case 1:
		return 1 << 40, "B07 proposal above all windows"
	case 2:
		return top + l.Plan.Window, "B07 proposal above the window"
	case 3, 4:
		return top + 1, "B07 proposal above the window"
	case 5:
		return top, "B07 proposal at the end of the window"
	}
	return 0, ""
}

// used is a number that is taken: proposed before, decided by the new view, or
// below the watermark.
func used(l *Liar, m *message.PrePrepare) (uint64, string) {
	n := m.Batch.Header.N
	if back := 1 + l.Rand.Uint64N(l.Plan.Interval); back < n && l.Rand.IntN(2) == 0 {
		return n - back, "B08 proposal at a number used before"
	}
	return 0, ""
}

// reusing proposes new batches at numbers that are taken; right behind its new
// views at those that they decide. (B8)
type reusing struct {
	*besides
	own    *message.ViewChange
	behind map[uint64][]*message.PrePrepare // by view
}

// Send follows new views up.
func (r *reusing) Send(l *Liar, to int, m message.Message) []Outgoing {
	switch m := m.(type) {
	case *message.ViewChange:
		if int(m.Replica) == l.Index {
			r.own = m
		}
	case *message.NewView:
		if int(m.Replica) != l.Index {
			break
		}
		list, ok := r.behind[m.View]
		if !ok {
			list = r.decided(l, m)
			r.behind[m.View] = list
		}
		out := []Outgoing{{to, m}}
		for _, x := range list {
			out = append(append(out, Outgoing{to, x}), bothVotes(to, x)...)
		}
		return out
	}
	return r.besides.Send(l, to, m)
}

// decided makes batches for some of the numbers that a new view decides.
func (r *reusing) decided(l *Liar, m *message.NewView) (list []*message.PrePrepare) {
	var set []*message.ViewChange
	for _, ref := range m.ViewChanges {
		vc := l.w.verifier.changes[ref.Digest]
		if vc == nil && int(ref.Replica) == l.Index {
			vc = r.own
		}
		if vc == nil {
			return nil
		}
		set = append(set, vc)
	}
	d := decide(l.Plan, set)
	for n := d.h + 1; n <= d.top; n++ {
		if d.ok && l.Rand.IntN(2) == 0 {
			l.lied("B08 proposal at a number that the new view decides")
			list = append(list, &message.PrePrepare{View: m.View, Batch: l.Collusion.Batch(n, l.Clock(), l.Collusion.Group("put k1 reused"))})
		}
	}
	return list
}
