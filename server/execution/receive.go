package execution

import (
	"errors"
	"slices"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
)

// Installed is a state that took the place of the own one.
type Installed struct {
	State   *message.State
	Windows []consensus.Window // of all clients
}

// Receive takes a part of a state that is being fetched. It returns the state
// when it is complete and has taken the place of the own one: batches up to it
// must not be executed any more. It reports false if m is no such part.
func (e *Engine) Receive(from message.ReplicaID, m message.Message, post Post) (done *Installed, ok bool) {
	t := e.transfer
	switch m := m.(type) {
	case *message.Manifest:
		if t != nil {
			t.onManifest(int(from), &m.State)
		}
	case *message.Nodes:
		if t != nil && m.N == t.cert.N() {
			t.onNodes(int(from), m)
		}
	case *message.Piece:
		if t != nil && m.N == t.cert.N() {
			t.onPiece(int(from), m)
		}
	default:
		return nil, false
	}
	if t == nil {
		return nil, true
	}
	if t.proven && t.pending == 0 {
		return t.finish(post), true
	}
	t.ask(post)
	return nil, true
}

// satisfied ends a want.
func (t *transfer) satisfied(w want) {
	a := t.waiting[w]
	delete(t.waiting, w)
	t.forget(w)
	t.pending--
	if a.wants--; a.wants == 0 {
		t.end(a)
		t.sources[a.to].late = 0
	}
}

// asked reports whether w was asked of the replica.
func (t *transfer) asked(w want, from int) bool {
	a := t.waiting[w]
	return a != nil && a.to == from
}

func (t *transfer) add(w want) {
	t.todo = append(t.todo, w)
	t.pending++
}

// onManifest takes what the certified digest is made of.
func (t *transfer) onManifest(from int, s *message.State) {
	w := want{component: manifest}
	switch {
	case s.N != t.cert.N():
		t.lacking(from, s.N)
	case t.state != nil || !t.asked(w, from):
	case message.CheckpointDigest(t.e.cfg.Cluster, s) != t.cert.Votes[0].Digest:
		t.blame(from, errors.New("its manifest does not hash to the certified digest"))
	default:
		t.satisfied(w)
		t.state = s
		t.buckets = make([]crypto.Digest, numBuckets)
		t.add(want{message.History, false, 0})
		t.add(want{message.Clients, true, 0})
		for i := numBuckets/fanout - 1; i >= 0; i-- {
			t.add(want{message.Application, true, uint32(i)})
		}
	}
}

// lacking notes that a source has another state than the target. The first one
// that says so may be alone; when it is the one that served, or nobody else is
// left, the newest target takes the place of this one.
func (t *transfer) lacking(from int, n uint64) {
	t.sources[from].lacks = true
	serves := false
	for i := range t.sources {
		s := &t.sources[i]
		serves = serves || !s.bad && !s.lacks && s.late < tooLate
	}
	if t.newer != nil && (n == t.newer.N() || !serves) {
		t.begin(t.newer)
		return
	}
	t.giveUp(from)
}

// onNodes takes leaves; they are verified when all are there.
func (t *transfer) onNodes(from int, m *message.Nodes) {
	w := want{m.Component, true, m.First}
	if t.proven || !t.asked(w, from) {
		return
	}
	if m.Component == message.Clients {
		t.onClientLeaves(from, w, m.Digests)
		return
	}
	if len(m.Digests) == 0 || len(m.Digests)%fanout != 0 {
		t.blame(from, errors.New("digests of half a node"))
		return
	}
	for i := range len(m.Digests) / fanout {
		w.index = m.First + uint32(i)
		if !t.asked(w, from) {
			break
		}
		copy(t.buckets[int(w.index)*fanout:], m.Digests[i*fanout:(i+1)*fanout])
		t.satisfied(w)
	}
	t.tryProve()
}

func (t *transfer) onClientLeaves(from int, w want, leaves []crypto.Digest) {
	if len(t.clients)+len(leaves) > t.e.cfg.MaxClients {
		t.blame(from, errors.New("more clients than there may be"))
		return
	}
	t.clients = append(t.clients, leaves...)
	if len(leaves) == clientChunk {
		t.add(want{message.Clients, true, w.index + 1})
	}
	t.satisfied(w)
	t.tryProve()
}

// tryProve holds the leaves against the certified roots, and asks for the
// pieces that are not here.
func (t *transfer) tryProve() {
	for _, w := range t.todo {
		if w.leaves {
			return
		}
	}
	for w := range t.waiting { //maporder: looks for any
		if w.leaves {
			return
		}
	}
	c := t.e.cfg.Cluster
	if t.e.store.tree.h.rootOf(t.buckets) != t.state.AppRoot || c.MerkleRoot(slices.Clone(t.clients)) != t.state.ClientsRoot {
		t.blame(t.source, errors.New("its digests do not hash to the certified roots"))
		return
	}
	t.proven = true
	t.stage()
}

// onPiece takes a part of a piece. A piece is verified when it is whole.
func (t *transfer) onPiece(from int, m *message.Piece) {
	w := want{m.Component, false, m.Index}
	if !t.asked(w, from) {
		return
	}
	have := t.partial[w].data
	switch {
	case m.Offset != uint64(len(have)):
		return // repeated, or what came before was lost
	case m.Size > maxPiece || t.bytes+len(m.Data) > maxPiece || m.Offset+uint64(len(m.Data)) > m.Size || len(m.Data) == 0 && m.Size > 0:
		t.blame(from, errors.New("a piece that cannot be"))
		return
	}
	a := t.waiting[w]
	a.bytes += len(m.Data) + pieceOverhead
	data := m.Data
	if len(have) > 0 || uint64(len(data)) < m.Size {
		data = append(have, data...)
	}
	if uint64(len(data)) < m.Size {
		t.partial[w] = part{from, data}
		t.bytes += len(m.Data)
	} else if err := t.keep(w, data); err != nil {
		t.forget(w)
		t.blame(from, err)
		return
	} else {
		t.satisfied(w)
	}
	if a.wants > 0 && a.bytes >= answerBytes {
		t.end(a) // the answer ends here
	}
}
