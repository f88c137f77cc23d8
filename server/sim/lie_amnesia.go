package sim

import (
	"slices"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

func init() {
	register("B34 comes back empty", func() Behaviour { return &amnesia{how: Crash} })
	register("B34 comes back as new", func() Behaviour { return &amnesia{how: Crash, deaf: true} })
	register("B34 old backup", func() Behaviour { return &amnesia{how: Backup} })
	register("B34 old backup, told by nobody", func() Behaviour { return &amnesia{how: Backup, deaf: true} })
	register("B34 lost tail", func() Behaviour { return &amnesia{how: Tail} })
	register("B34 lost tail, told by nobody", func() Behaviour { return &amnesia{how: Tail, deaf: true} })
}

// amnesia forgets again and again what it promised: all of it, what came after a
// backup, or the last records. It asks the others what they heard of it, or does
// not listen to that. Where replicas have no disks all is lost. (B34)
type amnesia struct {
	Honest
	how    FaultKind
	deaf   bool
	at     int64
	copied bool
}

func (*amnesia) keepsDisk() {}

// keepsDisk reports whether a behaviour has to do with the disk.
func (l *Liar) keepsDisk() bool {
	return slices.ContainsFunc(l.behaviours, func(b Behaviour) bool {
		_, ok := b.(interface{ keepsDisk() })
		return ok
	})
}

// Receive does not let the core know what others heard of it.
func (a *amnesia) Receive(_ *Liar, _ int, m message.Message) []message.Message {
	s, ok := m.(*message.Status)
	if !ok || !a.deaf || !s.SeenYou && s.HighestVote == (message.PQ{}) && s.HighestViewChange == 0 {
		return []message.Message{m}
	}
	x := *s
	x.SeenYou, x.HighestVote, x.HighestViewChange = false, message.PQ{Digest: crypto.Digest{}}, 0
	return []message.Message{&x}
}

// Tick forgets.
func (a *amnesia) Tick(l *Liar) {
	if l.Now() < a.at {
		return
	}
	if a.at == 0 {
		a.at = l.Now() + between(l.Rand, 1, 8*l.timeout())
		return
	}
	a.at = l.Now() + between(l.Rand, l.timeout()/4, 8*l.timeout())
	if l.h.disk == nil {
		l.lied("B34 comes back without a memory")
		l.Restart(!a.deaf)
		return
	}
	if a.how == Backup && (!a.copied || l.Rand.IntN(3) == 0) {
		a.copied = true
		l.h.disk.copyNow()
		return
	}
	l.lied("B34 " + a.how.String())
	l.PowerCut(&Fault{Kind: a.how, Nodes: []int{l.Index}, Amount: between(l.Rand, 1, mostLost)})
}

// PowerCut lets the own power fail, with the losses that a fault says, and come
// back at once.
func (l *Liar) PowerCut(f *Fault) {
	l.w.after(0, func() {
		l.h.cutPower(f)
		l.w.after(1+l.w.upTo(l.timeout()/4), l.h.powerBack)
	})
}
