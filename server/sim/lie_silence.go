package sim

import "github.com/pbft-go/pbft/server/message"

func init() {
	register("B18 silent to some", func() Behaviour { return &silent{} })
}

// silent says nothing to some replicas, and changes them now and then. (B18)
type silent struct {
	Honest
	to    uint64 // one bit each
	until int64
}

// Send drops what is for the chosen ones.
func (s *silent) Send(l *Liar, to int, m message.Message) []Outgoing {
	if s.to&(1<<to) != 0 {
		return nil
	}
	return []Outgoing{{to, m}}
}

// Tick chooses others.
func (s *silent) Tick(l *Liar) {
	if l.Now() < s.until {
		return
	}
	s.until = l.Now() + l.Rand.Int64N(20*int64(l.Plan.Timeout)*tick)
	s.to = l.Rand.Uint64() & l.Rand.Uint64()
	if l.Rand.IntN(4) == 0 {
		s.to = ^uint64(0) // to all
	}
}
