package sim

import "github.com/pbft-go/pbft/server/message"

func init() {
	register("B30 false checkpoint votes", func() Behaviour { return &falseVotes{} })
}

// falseVotes votes for checkpoints that are wrong: of states that nobody has,
// long before there is a state, at numbers without checkpoint, and for two
// states at once. (B30)
type falseVotes struct {
	Honest
	at int64
}

// Send changes own votes, in a way that depends on the number.
func (f *falseVotes) Send(l *Liar, to int, m message.Message) []Outgoing {
	c, ok := m.(*message.Checkpoint)
	if !ok || int(c.Replica) != l.Index {
		return []Outgoing{{to, m}}
	}
	wrong := l.vote(l.Index, c.N, l.invented(c.N))
	boundary := *c
	boundary.Boundary = c.N + l.Plan.Window
	l.Collusion.Sign(&boundary)
	switch c.N / l.Plan.Interval % 4 {
	case 0: // all liars vote for one state
		l.lied("B30 vote for a state that nobody has")
		return []Outgoing{{to, &wrong}}
	case 1: // one state for some, another one for others
		if to%2 == 0 {
			l.lied("B30 second vote at a checkpoint")
			return []Outgoing{{to, &wrong}}
		}
	case 2: // both for all, the wrong one first
		l.lied("B30 second vote at a checkpoint")
		return []Outgoing{{to, &wrong}, {to, m}}
	case 3:
		l.lied("B30 vote with a boundary")
		return []Outgoing{{to, &boundary}}
	}
	return []Outgoing{{to, m}}
}

// Tick votes for what is not there.
func (f *falseVotes) Tick(l *Liar) {
	if l.Now() < f.at {
		return
	}
	f.at = l.Now() + between(l.Rand, 1, 2*l.timeout())
	info := l.Core().Info()
	n := (info.LastExecuted/l.Plan.Interval + 1 + l.Rand.Uint64N(3)) * l.Plan.Interval
	what := "B30 vote before there is a state"
	switch l.Rand.IntN(4) {
	case 0:
		n -= 1 + l.Rand.Uint64N(l.Plan.Interval-1)
		what = "B30 vote where there is no checkpoint"
	case 1:
		n = pick(l.Rand, 0, n<<40, ^uint64(0), ^uint64(0)/l.Plan.Interval*l.Plan.Interval)
		what = "B30 vote for a number that cannot be"
	}
	l.lied(what)
	v := l.vote(l.Index, n, l.invented(n))
	l.Broadcast(&v)
}
