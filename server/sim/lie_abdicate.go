package sim

import "github.com/pbft-go/pbft/server/message"

func init() {
	register("B26 abdicates again and again", func() Behaviour { return &abdicating{} })
	register("B26 asks for each next view", func() Behaviour { return &abdicating{all: true} })
	register("B26 asks for far views", func() Behaviour { return &farSighted{} })
}

// abdicating gives up each view that it leads, as soon as anybody asks for it; or
// all views, which is nobody's business. (B26)
type abdicating struct {
	Honest
	mask
	all   bool
	asked uint64
}

// Receive gives up the view that another one asks for.
func (a *abdicating) Receive(l *Liar, from int, m message.Message) []message.Message {
	switch x := m.(type) {
	case *message.ViewChange:
		a.giveUp(l, x.NewView)
	case *message.NewView:
		m = a.in(l, x)
	case *message.FetchViewChange:
		if l.serveVersion(from, x) {
			return nil
		}
	}
	return []message.Message{m}
}

// Send lets everything leave.
func (a *abdicating) Send(l *Liar, to int, m message.Message) []Outgoing {
	switch x := m.(type) {
	case *message.ViewChange:
		if l.own(m) {
			a.made(l, x)
		}
	case *message.NewView:
		m = a.out(x)
	}
	return []Outgoing{{to, m}}
}

// Tick gives up the present view, but the first one not at once.
func (a *abdicating) Tick(l *Liar) {
	l.handOvers()
	if v := l.View(); v > 0 || l.Now() > 2*l.timeout() {
		a.giveUp(l, v)
	}
}

func (a *abdicating) giveUp(l *Liar, view uint64) {
	if !a.all && l.Primary(view) != l.Index || view < l.View() || view < a.asked || view > l.View()+uint64(l.N) {
		return
	}
	a.asked = view + 1
	if l.Primary(view) == l.Index {
		l.lied("B26 abdication")
	} else {
		l.lied("B26 view change against another one's view")
	}
	m := l.Collusion.ViewChange(l.Index, view+1, nil, nil)
	versions(l.Collusion)[m.Digest(clusterID)] = m
	l.Broadcast(m)
}

// farSighted asks for views that no cluster reaches, and for the next ones at
// times. (B26)
type farSighted struct {
	Honest
	at int64
}

// Tick asks for a view now and then.
func (f *farSighted) Tick(l *Liar) {
	l.handOvers()
	if l.Now() < f.at {
		return
	}
	f.at = l.Now() + between(l.Rand, 1, 4*l.timeout())
	view := l.View() + 1 + l.Rand.Uint64N(4)
	switch l.Rand.IntN(8) {
	case 0:
		view = ^uint64(0) - l.Rand.Uint64N(2)
	case 1, 2, 3:
		view += 1 << 40
	}
	l.lied("B26 view change for a far view")
	m := l.Collusion.ViewChange(l.Index, view, nil, nil)
	if l.Rand.IntN(4) == 0 {
		l.Send(l.Rand.IntN(l.N), m)
		return
	}
	l.Broadcast(m)
}
