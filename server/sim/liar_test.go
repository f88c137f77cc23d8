package sim

import (
	"testing"

	"github.com/pbft-go/pbft/server/message"
)

// torn is one replica twice: one copy hears and answers half of the others, the
// second one the rest.
type torn struct {
	Honest
	said int // by the second copy
}

func (*torn) Tick(l *Liar) { l.Twin() }

func (*torn) Receive(l *Liar, from int, m message.Message) []message.Message {
	if from%2 == 1 {
		l.TellTwin(from, m)
		return nil
	}
	return []message.Message{m}
}

func (s *torn) Send(l *Liar, to int, m message.Message) []Outgoing {
	if l.FromTwin {
		s.said++
	}
	if l.FromTwin != (to%2 == 1) {
		return nil
	}
	return []Outgoing{{to, m}}
}

// forgetful loses its memory once and pretends to be new.
type forgetful struct {
	Honest
	done bool
}

func (f *forgetful) Tick(l *Liar) {
	if !f.done && l.Now() > l.Plan.End/2 {
		f.done = true
		l.Restart(false)
	}
}

// TestLiarsMayBeTwoOrForget uses what behaviours can do beside changing
// messages. One such replica of four breaks nothing.
func TestLiarsMayBeTwoOrForget(t *testing.T) {
	for seed := range uint64(12) {
		p := draw(seed)
		plain(p)
		p.Liars = []LiarPlan{{Replica: int(seed % 4)}}
		w := newWorld(p, &Options{})
		l, two := w.liars.Liars[0], &torn{}
		l.behaviours = []Behaviour{two}
		if seed%2 == 0 {
			l.behaviours = []Behaviour{&forgetful{}}
		}
		w.run()
		if len(w.check.violations) > 0 {
			t.Errorf("seed %d: %v", seed, w.check.violations)
		}
		if seed%2 == 1 && two.said == 0 {
			t.Errorf("seed %d: the second copy says nothing", seed)
		}
		if seed%2 == 0 && l.h.life != 2 {
			t.Errorf("seed %d: life %d", seed, l.h.life)
		}
	}
}

// TestLiarsHaveTheirOwnKeysOnly: nobody signs for a correct replica.
func TestLiarsHaveTheirOwnKeysOnly(t *testing.T) {
	p := draw(1)
	plain(p)
	p.Liars = []LiarPlan{{Replica: 2}}
	w := newWorld(p, &Options{})
	m := w.liars.ViewChange(2, 1, nil, nil)
	if _, err := w.verifier.open(m); err != nil {
		t.Error(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a liar signed for replica 1")
		}
	}()
	w.liars.ViewChange(1, 1, nil, nil)
}
