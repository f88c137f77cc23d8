package sim

import "github.com/pbft-go/pbft/server/message"

func init() {
	register("B19 silent in one phase", func() Behaviour { return &phaseless{} })
}

// phaseless never says what one phase needs, and now and then chooses another
// one. (B19)
type phaseless struct {
	Honest
	phase kind
	until int64
}

// kind is what messages are sent for.
type kind uint8

const (
	proposes kind = iota
	prepares
	commits
	checkpoints
	changesView
	startsView
	tellsStatus
	answers
	asks
	relays
	numKinds
)

func kindOf(m message.Message) kind {
	switch m.(type) {
	case *message.PrePrepare:
		return proposes
	case *message.Prepare:
		return prepares
	case *message.Commit:
		return commits
	case *message.Checkpoint, *message.StableCertificate:
		return checkpoints
	case *message.ViewChange:
		return changesView
	case *message.NewView:
		return startsView
	case *message.Status:
		return tellsStatus
	case *message.Relay:
		return relays
	case *message.Body, *message.Committed, *message.Reply, *message.Manifest, *message.Nodes, *message.Piece:
		return answers
	}
	return asks
}

// Send drops what belongs to the phase.
func (p *phaseless) Send(l *Liar, to int, m message.Message) []Outgoing {
	if kindOf(m) == p.phase {
		l.lied("B19 silence in a phase")
		return nil
	}
	return []Outgoing{{to, m}}
}

// Tick chooses another phase.
func (p *phaseless) Tick(l *Liar) {
	if l.Now() >= p.until {
		p.phase = kind(l.Rand.IntN(int(numKinds)))
		p.until = l.Now() + l.Rand.Int64N(30*l.timeout())
	}
}
