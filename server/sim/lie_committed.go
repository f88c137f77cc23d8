package sim

import (
	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

func init() {
	register("B32 false statements", func() Behaviour { return &falseStatements{} })
}

// falseStatements states that batches are committed that are not, together with
// all other liars. (B32)
type falseStatements struct {
	Honest
	at int64
}

// committed is what all liars of a run state at a number.
func (l *Liar) committed(n uint64) crypto.Digest {
	if n%2 == 0 {
		return clusterID.NullDigest(0, n) // which would be executed at once
	}
	return l.invented(n)
}

// Send answers questions with false statements.
func (*falseStatements) Send(l *Liar, to int, m message.Message) []Outgoing {
	if s, ok := m.(*message.Committed); ok {
		x := &message.Committed{}
		for _, e := range s.Entries {
			x.Entries = append(x.Entries, message.NDigest{N: e.N, Digest: l.committed(e.N)})
		}
		l.lied("B32 false answer about what is committed")
		m = x
	}
	return []Outgoing{{to, m}}
}

// Tick states what nobody can know yet.
func (f *falseStatements) Tick(l *Liar) {
	if f.at == 0 {
		recruit(l, func() *falseStatements { return &falseStatements{at: 1} })
	}
	if l.Now() < f.at {
		return
	}
	f.at = l.Now() + between(l.Rand, tick, l.timeout()/2)
	m := &message.Committed{}
	first := l.Core().Info().LastCommitted + 1
	for n := first; n < first+l.Plan.Window; n++ {
		m.Entries = append(m.Entries, message.NDigest{N: n, Digest: l.committed(n)})
	}
	l.lied("B32 false statement about what is committed")
	l.Broadcast(m)
}
