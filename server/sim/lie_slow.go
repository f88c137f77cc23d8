package sim

import "github.com/pbft-go/pbft/server/message"

func init() {
	register("B12 slow primary", func() Behaviour { return &slow{due: map[proposal]int64{}, held: map[delayed]bool{}} })
}

// slow proposes one batch at a time, each as late as it dares. (B12)
type slow struct {
	Honest
	view  uint64
	every int64 // distance of two proposals in it
	due   map[proposal]int64
	last  int64 // of them
	held  map[delayed]bool
}

// delayed is a proposal to a replica that waits to leave.
type delayed struct {
	proposal
	to int
}

// Send holds proposals back.
func (s *slow) Send(l *Liar, to int, m message.Message) []Outgoing {
	pp, ok := m.(*message.PrePrepare)
	if !ok {
		return []Outgoing{{to, m}}
	}
	at := proposalOf(pp)
	due, ok := s.due[at]
	if !ok {
		if s.every == 0 || s.view != pp.View {
			s.view, s.every = pp.View, l.timeout()*between(l.Rand, 40, 98)/100
		}
		due = max(l.Now(), s.last) + s.every
		s.due[at], s.last = due, due
		l.lied("B12 proposal held back")
	}
	if l.Now() >= due {
		return []Outgoing{{to, m}}
	}
	if d := (delayed{at, to}); !s.held[d] {
		s.held[d] = true
		l.w.at(due, func() { l.Send(to, m) })
	}
	return nil
}
