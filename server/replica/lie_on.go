//go:build liar

package replica

import (
	"os"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/execution"
	"github.com/pbft-go/pbft/server/message"
)

// A liar is a replica of a test build that does one thing wrong on purpose. The
// environment says what (PBFT_LIE):
//
//	equivocate  proposes one batch to half of the replicas and another one to
//	            the others, and votes for both
//	silent      says nothing to replica 0, or to the last one if it is that
//	votes       votes for digests that nobody proposed, and claims to be far ahead
//	starve      never proposes what the client PBFT_VICTIM asks for
//	replies     answers clients and other replicas with wrong results
//	state       gives wrong pieces of state
//
// The lists of docs/protocol.md name them B1 and B2, B18, B14 and B36, B11, B33,
// B31.
type liar struct {
	self, n int
	cluster crypto.ClusterID
	other   map[uint64]*message.Batch // equivocate: what the second half gets, by number
}

const lying = true

// victim is the client that is starved.
func victim() string { return os.Getenv("PBFT_VICTIM") }

func (l *liar) init(r *Replica) { l.self, l.n, l.cluster = r.o.Index, len(r.cfg.Nodes), r.cluster }

// postLies sends what the liar makes of a message.
func (r *Replica) postLies(s consensus.Send) {
	for to := range r.lies.n {
		if to == r.o.Index || s.To != consensus.Everyone && s.To != to {
			continue
		}
		m, changed := r.lies.send(to, s.Msg)
		if !changed {
			m = s.Msg
		}
		if m != nil {
			r.transport.Send(peerID(to), m)
		}
	}
}

func lie() string { return os.Getenv("PBFT_LIE") }

// send gives what goes to replica to in the place of m. It reports false if m
// goes as it is.
func (l *liar) send(to int, m message.Message) (message.Message, bool) {
	switch lie() {
	case "equivocate":
		return l.equivocate(to, m)
	case "silent":
		return nil, to == 0 && l.self != 0 || l.self == 0 && to == l.n-1
	case "votes":
		return l.votes(m)
	case "state":
		if m, ok := m.(*message.Piece); ok && len(m.Data) > 0 {
			p := *m
			p.Data = append([]byte{m.Data[0] ^ 1}, m.Data[1:]...)
			return &p, true
		}
	}
	return nil, false
}

func (l *liar) equivocate(to int, m message.Message) (message.Message, bool) {
	if to < l.n/2 {
		return nil, false
	}
	switch m := m.(type) {
	case *message.PrePrepare:
		if l.other == nil || len(l.other) > 1<<10 {
			l.other = make(map[uint64]*message.Batch)
		}
		h := m.Batch.Header
		h.WallUS++
		b := message.NewBatch(l.cluster, h, m.Batch.Groups)
		l.other[h.N] = b
		return &message.PrePrepare{View: m.View, Batch: b}, true
	case *message.Prepare:
		if b := l.other[m.N]; b != nil {
			return &message.Prepare{View: m.View, N: m.N, Digest: b.Digest}, true
		}
	case *message.Commit:
		if b := l.other[m.N]; b != nil {
			return &message.Commit{View: m.View, N: m.N, Digest: b.Digest}, true
		}
	}
	return nil, false
}

func (l *liar) votes(m message.Message) (message.Message, bool) {
	switch m := m.(type) {
	case *message.Prepare:
		return &message.Prepare{View: m.View, N: m.N, Digest: crypto.Digest{1}}, true
	case *message.Commit:
		return &message.Commit{View: m.View, N: m.N, Digest: crypto.Digest{1}}, true
	case *message.Status:
		s := *m
		s.H, s.LastExecuted, s.LastCommitted = s.H+1<<30, s.LastExecuted+1<<30, s.LastCommitted+1<<30
		return &s, true
	}
	return nil, false
}

// deaf reports whether the replica pretends not to have heard an input.
func (l *liar) deaf(in *consensus.Input) bool {
	if lie() != "starve" {
		return false
	}
	if in.Kind == consensus.InRequest {
		return string(in.Group.Client) == victim()
	}
	m, ok := in.Msg.(*message.Relay)
	return ok && string(m.Group.Client) == victim()
}

// block falsifies what clients are told of a batch.
func (l *liar) block(b *execution.Block) {
	if lie() != "replies" {
		return
	}
	results := append([]crypto.Result(nil), b.Results...)
	for i := range results {
		results[i].Value = []byte("a lie")
	}
	b.Results = results
	b.Digest[0] ^= 1
}

// reply falsifies what another replica is told of a request.
func (l *liar) reply(m *message.Reply) {
	if lie() == "replies" {
		m.Result.Value = []byte("a lie")
	}
}
