package sim

import (
	"fmt"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
)

func init() {
	register("B11 starves one client", func() Behaviour {
		s := &starving{}
		s.swapping = newSwapping(s.without)
		return s
	})
}

// starving never proposes what one client asks for, the same one for all
// liars, does not pass it on, and tells it nothing. Meanwhile it proposes
// something else, so that nobody can say that nothing is executed. (B11)
type starving struct {
	swapping
	hungry int64 // when the victim was last heard of
	at     int64 // of the next diversion
}

// victim is the client to starve.
func (l *Liar) victim() string {
	v, ok := l.Collusion.Notes["victim"].(string)
	if !ok {
		v = fmt.Sprint("c", l.Rand.IntN(len(l.Plan.Clients)))
		l.Collusion.Notes["victim"] = v
	}
	return v
}

func (s *starving) without(l *Liar, m *message.PrePrepare) *message.Batch {
	var rest []crypto.GroupView
	for _, g := range m.Batch.Groups {
		if string(g.Client) != l.victim() {
			rest = append(rest, g)
		}
	}
	if len(rest) == len(m.Batch.Groups) {
		return nil
	}
	s.hungry = l.Now()
	l.lied("B11 proposal without the victim's requests")
	return l.Collusion.Batch(m.Batch.Header.N, m.Batch.Header.WallUS, rest...)
}

// Send passes nothing of the victim on.
func (s *starving) Send(l *Liar, to int, m message.Message) []Outgoing {
	if m, ok := m.(*message.Relay); ok && string(m.Group.Client) == l.victim() {
		l.lied("B11 request not passed on")
		return nil
	}
	return s.swapping.Send(l, to, m)
}

// Receive hears nothing of it.
func (s *starving) Receive(l *Liar, from int, m message.Message) []message.Message {
	if m, ok := m.(*message.Relay); ok && string(m.Group.Client) == l.victim() {
		s.hungry = l.Now()
		return nil
	}
	return s.swapping.Receive(l, from, m)
}

// Answer tells the victim nothing.
func (s *starving) Answer(l *Liar, a *Answer) []*Answer {
	if a.Client == l.victim() {
		return nil
	}
	return []*Answer{a}
}

// Tick gives itself something to propose while the victim waits.
func (s *starving) Tick(l *Liar) {
	if !l.Leads() || s.hungry == 0 || l.Now() > s.hungry+6*l.timeout() || l.Now() < s.at {
		return
	}
	s.at = l.Now() + l.timeout()/3
	l.Submit(l.Index, l.Collusion.Group("get k0"), consensus.Source{})
}
