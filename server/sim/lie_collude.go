package sim

import "github.com/pbft-go/pbft/server/message"

func init() {
	register("B40 colluding primaries", func() Behaviour { return &wasting{} })
}

// wasting makes all liars of a run waste the views that they lead, each view in
// a way of its own. Only votes for each other's twins come from them there; in
// the views of others they behave. (B40)
type wasting struct {
	Honest
	at    int64
	twins equivocating
	bad   badViews
}

// The ways to waste a view.
const (
	staySilent = iota
	equivocate
	startBadly
	startAndStop // a good new view, then silence
	numWays
)

// way is how the liars waste a view.
func (*wasting) way(l *Liar, view uint64) int { return int((l.Plan.Seed + view) % numWays) }

// Tick makes the others join once.
func (w *wasting) Tick(l *Liar) {
	l.handOvers()
	if w.at == 0 {
		w.at, w.twins.votes = 1, true
		recruit(l, func() *wasting { return &wasting{} })
	}
}

// Send keeps back or changes what belongs to a view of liars.
func (w *wasting) Send(l *Liar, to int, m message.Message) []Outgoing {
	view, ok := viewOf(m)
	leader := l.Primary(view)
	if !ok || !l.Collusion.Lies(leader) {
		return w.bad.Send(l, to, m)
	}
	nv, starts := m.(*message.NewView)
	way := w.way(l, view)
	switch {
	case way == equivocate:
		l.lied("B40 view wasted by equivocation")
		return w.twins.Send(l, to, m)
	case leader != l.Index:
		return []Outgoing{{to, m}}
	case way == startAndStop && starts:
		w.bad.waste(view)
		return []Outgoing{{to, m}}
	case way == startBadly && starts:
		l.lied("B40 view wasted by a bad new view")
		return []Outgoing{{to, w.bad.twist(l, nv)}}
	}
	w.bad.waste(view)
	l.lied("B40 view wasted by silence")
	return nil
}

// viewOf is the view that a message of the normal case or a new view is for.
func viewOf(m message.Message) (uint64, bool) {
	switch m := m.(type) {
	case *message.PrePrepare:
		return m.View, true
	case *message.Prepare:
		return m.View, true
	case *message.Commit:
		return m.View, true
	case *message.NewView:
		return m.View, true
	}
	return 0, false
}

// Receive serves what bad new views name.
func (w *wasting) Receive(l *Liar, from int, m message.Message) []message.Message {
	return w.bad.Receive(l, from, m)
}
