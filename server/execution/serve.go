package execution

import (
	"github.com/pbft-go/pbft/server/message"
)

// A replica behind the others fetches a state that they certified (docs/
// protocol.md section 9). This is the side that gives; transfer.go takes.

const (
	// fragment is the largest part of a piece in one message.
	fragment = message.MaxFragment
	// answerBytes bounds the pieces in answer to one question. The rest is
	// asked for again, so a question is never amplified by more.
	answerBytes = 1 << 20
	// clientChunk is how many clients' leaves answer for one index.
	clientChunk = 4096

	// leaseTicks is how long after the last question an old checkpoint stays;
	// leaseMost bounds that in all, so that asking for ever holds nothing for
	// ever. A tick is 10 ms.
	leaseTicks = 1000
	leaseMost  = 60_000
)

// Post sends a message to a replica.
type Post func(to message.ReplicaID, m message.Message)

// Serve answers a peer that fetches state. It reports false if m is no such
// question.
func (e *Engine) Serve(from message.ReplicaID, m message.Message, post Post) bool {
	switch m := m.(type) {
	case *message.FetchManifest:
		e.serveManifest(from, m.N, post)
	case *message.FetchNodes:
		if c := e.lease(from, m.N, post); c != nil {
			e.serveNodes(from, c, m, post)
		}
	case *message.FetchPieces:
		if c := e.lease(from, m.N, post); c != nil {
			e.servePieces(from, c, m, post)
		}
	default:
		return false
	}
	return true
}

// serveManifest sends what the checkpoint's digest is made of, or says which
// checkpoint there is instead.
func (e *Engine) serveManifest(from message.ReplicaID, n uint64, post Post) {
	c := e.find(n)
	if c == nil && len(e.checkpoints) > 0 {
		c = e.checkpoints[0]
	}
	if c != nil {
		e.asked(c)
		post(from, &message.Manifest{State: *c.state})
	}
}

// lease finds the checkpoint at n and keeps it for a while.
func (e *Engine) lease(from message.ReplicaID, n uint64, post Post) *checkpoint {
	c := e.find(n)
	if c == nil {
		e.serveManifest(from, n, post)
		return nil
	}
	e.asked(c)
	return c
}

func (e *Engine) find(n uint64) *checkpoint {
	for _, c := range e.checkpoints {
		if c.state.N == n {
			return c
		}
	}
	if e.leased != nil && e.leased.state.N == n {
		return e.leased
	}
	return nil
}

func (e *Engine) asked(c *checkpoint) {
	c.askedAt = e.tick + 1
	if c.askedSince == 0 {
		c.askedSince = c.askedAt
	}
}

// wanted reports whether a peer is fetching the checkpoint.
func (e *Engine) wanted(c *checkpoint) bool {
	return c.askedAt != 0 && e.tick-(c.askedAt-1) < leaseTicks && e.tick-(c.askedSince-1) < leaseMost
}

// retire lets go of a checkpoint, or keeps it on for a peer that fetches it: one
// at a time, the one that was there first.
func (e *Engine) retire(c *checkpoint) {
	if !e.wanted(c) || e.leased != nil && e.wanted(e.leased) {
		c.release(e.clients)
		return
	}
	e.endLease()
	e.leased = c
}

func (e *Engine) endLease() {
	if e.leased != nil {
		e.leased.release(e.clients)
		e.leased = nil
	}
}

// serveNodes sends digests: of buckets for the inner nodes above them, of
// clients chunk by chunk.
func (e *Engine) serveNodes(from message.ReplicaID, c *checkpoint, m *message.FetchNodes, post Post) {
	out := &message.Nodes{N: m.N, Component: m.Component, Level: m.Level, First: m.Indexes[0]}
	switch m.Component {
	case message.Application:
		h := &e.store.tree.h
		for _, i := range m.Indexes {
			if i >= numBuckets/fanout {
				return
			}
			for k := range fanout {
				b := int(i)*fanout + k
				out.Digests = append(out.Digests, h.digest(b, c.snapshot.bucket(b).data))
			}
		}
	case message.Clients:
		first := min(int(m.Indexes[0])*clientChunk, len(c.clients.leaves))
		out.Digests = append(out.Digests, c.clients.leaves[first:min(first+clientChunk, len(c.clients.leaves))]...)
	default:
		return
	}
	post(from, out)
}

// servePieces sends pieces in fragments, until enough is sent.
func (e *Engine) servePieces(from message.ReplicaID, c *checkpoint, m *message.FetchPieces, post Post) {
	sent, offset := 0, m.Offset
	for _, i := range m.Indexes {
		data := e.piece(c, m.Component, i)
		for first := true; first || offset < uint64(len(data)); first = false {
			if sent >= answerBytes || offset > uint64(len(data)) {
				return
			}
			part := data[offset:min(offset+fragment, uint64(len(data)))]
			post(from, &message.Piece{N: m.N, Component: m.Component, Index: i, Offset: offset, Size: uint64(len(data)), Data: part})
			sent += len(part) + pieceOverhead
			offset += uint64(len(part))
		}
		offset = 0
	}
}

// pieceOverhead is what a piece counts beside its bytes.
const pieceOverhead = 64

// piece is one piece of a checkpoint; of an index that is not there, nothing.
func (e *Engine) piece(c *checkpoint, k message.Component, i uint32) []byte {
	switch {
	case k == message.Application && i < numBuckets:
		return appendBucketPiece(nil, c.snapshot.bucket(int(i)), e.store.values)
	case k == message.Clients && int(i) < len(c.clients.order):
		m := e.clients.at(c.clients, int(i))
		return appendClientPiece(nil, &m)
	case k == message.History && i == 0:
		return appendFrontier(nil, &c.frontier)
	}
	return nil
}
