package sim

import (
	"slices"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
)

func init() {
	register("B25 forged certificates", func() Behaviour {
		return &forger{rewriter: rewriter{what: "B25 view change with a forged certificate", change: forgeCertificate, invalid: true}}
	})
}

// forger sends view changes whose certificates prove nothing, and such
// certificates alone. (B25)
type forger struct {
	rewriter
	at int64
}

// Tick sends a certificate to somebody now and then.
func (f *forger) Tick(l *Liar) {
	f.rewriter.Tick(l)
	if l.Now() < f.at {
		return
	}
	f.at = l.Now() + between(l.Rand, 1, 2*l.timeout())
	if c, _ := l.falseCertificate(l.Core().Certificate()); len(c.Votes) > 0 {
		l.lied("B25 forged certificate")
		l.Send(l.Rand.IntN(l.N), &message.StableCertificate{Certificate: c})
	}
}

// forgeCertificate puts a false certificate into a view change.
func forgeCertificate(l *Liar, m *message.ViewChange) {
	var claimed uint64
	m.Certificate, claimed = l.falseCertificate(&m.Certificate)
	m.H = claimed
	below := func(e message.PQ) bool { return e.N <= m.H || e.N-m.H > l.Plan.Window }
	m.P = slices.DeleteFunc(m.P, below)
	m.Q = slices.DeleteFunc(m.Q, below)
}

// falseCertificate makes a certificate that proves nothing of a true one, and
// the number that it is to prove.
func (l *Liar) falseCertificate(genuine *message.Certificate) (c message.Certificate, n uint64) {
	c.Votes = slices.Clone(genuine.Votes)
	kind := l.Rand.IntN(6)
	if n = c.N(); n == 0 || kind == 0 { // of a state that nobody has
		n += l.Plan.Interval
		return l.certify(n, l.invented(n)), n
	}
	last := len(c.Votes) - 1
	switch kind {
	case 1: // short
		c.Votes = c.Votes[:consensus.Quorum(l.N)-1]
	case 2: // a signature that is none
		c.Votes[l.Rand.IntN(len(c.Votes))].Signature[0] ^= 1
	case 3: // mixed: one vote is for something else
		c.Votes[last] = l.vote(int(c.Votes[last].Replica), n, l.invented(n))
	case 4: // one vote twice
		c.Votes[last] = c.Votes[last-1]
	case 5: // of one number, for another
		n += l.Plan.Interval
	}
	return c, n
}

// certify makes a quorum of votes, genuine those of liars only.
func (l *Liar) certify(n uint64, d crypto.Digest) (c message.Certificate) {
	for i := range consensus.Quorum(l.N) {
		c.Votes = append(c.Votes, l.vote(i, n, d))
	}
	return c
}

// vote makes a replica's vote about a state, signed if that one is a liar.
func (l *Liar) vote(replica int, n uint64, d crypto.Digest) message.Checkpoint {
	v := message.Checkpoint{Replica: message.ReplicaID(replica), Incarnation: incarnationOfAll, N: n, Digest: d}
	if l.Collusion.Lies(replica) {
		l.Collusion.Sign(&v)
	}
	return v
}
