package sim

import (
	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// What several lies of a primary need: to propose what its core does not.

// proposal names what a core proposed.
type proposal struct {
	view   uint64
	digest crypto.Digest
}

func proposalOf(m *message.PrePrepare) proposal { return proposal{m.View, m.Batch.Digest} }

// swapping is a primary that proposes other batches than its core does, and
// votes for those. The core believes in its own, and learns from the others
// what was committed.
type swapping struct {
	Honest
	// choose makes the batch to propose instead, once for each proposal of the
	// core; nil leaves it as it is.
	choose  func(l *Liar, m *message.PrePrepare) *message.Batch
	instead map[proposal]*message.PrePrepare // nil values: left as they are
	bodies  map[crypto.Digest]*message.Batch
	moved   places
}

func newSwapping(choose func(l *Liar, m *message.PrePrepare) *message.Batch) swapping {
	return swapping{choose: choose, instead: map[proposal]*message.PrePrepare{}, bodies: map[crypto.Digest]*message.Batch{}, moved: places{}}
}

// Send proposes something else, and votes for it.
func (s *swapping) Send(l *Liar, to int, m message.Message) []Outgoing {
	switch m := m.(type) {
	case *message.PrePrepare:
		if x := s.swap(l, m); x != nil {
			return []Outgoing{{to, x}}
		}
	case *message.Prepare:
		if x := s.instead[proposal{m.View, m.Digest}]; x != nil {
			return bothVotes(to, x) // the core will not come so far as to commit
		}
	}
	return []Outgoing{{to, m}}
}

func (s *swapping) swap(l *Liar, m *message.PrePrepare) *message.PrePrepare {
	x, ok := s.instead[proposalOf(m)]
	if ok {
		return x
	}
	if b := s.choose(l, m); b != nil && b.Digest != m.Batch.Digest {
		x = &message.PrePrepare{View: m.View, Batch: b}
		s.bodies[b.Digest] = b
		if n := b.Header.N; n != m.Batch.Header.N {
			s.moved[place{m.View, n}] = true
		}
	}
	s.instead[proposalOf(m)] = x
	return x
}

// Receive serves the bodies that the core does not have.
func (s *swapping) Receive(l *Liar, from int, m message.Message) []message.Message {
	if s.moved.hide(m) {
		return nil
	}
	if m, ok := m.(*message.FetchBody); ok {
		for _, d := range m.Digests {
			if b := s.bodies[d]; b != nil {
				l.Send(from, &message.Body{Batch: b})
			}
		}
	}
	return []message.Message{m}
}

// bothVotes are a Prepare and a Commit for what is proposed.
func bothVotes(to int, m *message.PrePrepare) []Outgoing {
	n, d := m.Batch.Header.N, m.Batch.Digest
	return []Outgoing{
		{to, &message.Prepare{View: m.View, N: n, Digest: d}},
		{to, &message.Commit{View: m.View, N: n, Digest: d}},
	}
}

type place struct{ view, n uint64 }

// places are where a primary proposed what its core does not know. The core
// must not hear of it: it will propose there itself.
type places map[place]bool

// hide reports whether m is a vote at one of the places.
func (p places) hide(m message.Message) bool {
	switch m := m.(type) {
	case *message.Prepare:
		return p[place{m.View, m.N}]
	case *message.Commit:
		return p[place{m.View, m.N}]
	}
	return false
}

// fitting are as many of the groups as a batch may hold, from the first on.
func fitting(l *Liar, groups []crypto.GroupView) (list []crypto.GroupView) {
	count, size := 0, 4
	for i := range groups {
		g := &groups[i]
		count += g.Count
		size += 4 + len(g.Raw)
		if count > l.Plan.Limits.MaxBatch || size > l.Plan.Limits.MaxBatchBytes {
			break
		}
		list = append(list, *g)
	}
	return list
}
