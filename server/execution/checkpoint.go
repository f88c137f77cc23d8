package execution

import (
	"slices"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
)

// Digesting a state takes as long as hundreds of batches when much of it has
// changed. So it goes on in pieces while later batches are executed, and what
// they are about to change is digested first: Store.firstChange and
// clientTable.firstChange.

// checkpoint is a state that peers may ask for.
type checkpoint struct {
	state    *message.State
	snapshot *Snapshot
	clients  *clientPeriod
	frontier crypto.Frontier

	askedAt, askedSince uint64 // ticks of the last and the first question of a peer, 0: none
}

func (c *checkpoint) release(t *clientTable) {
	c.snapshot.Release()
	t.release(c.clients)
}

// underway is a checkpoint whose digest is not complete. Its state lacks the
// roots of application and clients.
type underway struct {
	checkpoint
	piece int // buckets to digest beside each batch
}

// leastPiece is the smallest piece in buckets: some 30 us.
const leastPiece = 64

// clientWork is how many buckets a client counts for.
const clientWork = 16

// beginCheckpoint takes the state behind batch x and begins to digest it, at a
// pace that is done when half as many batches have followed as went before.
func (e *Engine) beginCheckpoint(x *consensus.Exec) {
	work := e.store.dirty.count() + e.clients.begin()*clientWork
	e.underway = &underway{piece: max(leastPiece, work/max(1, int(x.N-e.checkpointN)/2))}
	e.checkpointN = x.N
	e.underway.state = &message.State{
		Epoch: e.cfg.Epoch, N: x.N,
		HistoryRoot: e.frontier.Root(e.cfg.Cluster), HistorySize: e.frontier.Size,
		LastTimeUS: e.lastTimeUS, ConfigDigest: e.cfg.ConfigDigest,
	}
	e.underway.snapshot = e.store.Checkpoint()
	e.underway.frontier = e.frontier.Clone()
	e.underway.clients = e.clients.beginPeriod()
}

// Advance does a piece of the checkpoint under way, or of the save, if there is
// one: some 100 us of work. It returns the state when its digest is complete, and
// nil before and after that.
func (e *Engine) Advance() *message.State {
	digesting := e.underway != nil
	state := e.advance(4 * leastPiece)
	if e.saver != nil {
		return e.saver.advance(digesting, state)
	}
	return state
}

// Underway reports whether Advance has something to do.
func (e *Engine) Underway() bool { return e.underway != nil || e.saver != nil && e.saver.busy() }

func (e *Engine) advance(piece int) *message.State {
	u := e.underway
	if u == nil || !e.store.Digest(piece) || !e.clients.digest(piece/clientWork+1) {
		return nil
	}
	u.clients.leaves = slices.Clone(e.clients.leaves)
	u.state.AppRoot, u.state.ClientsRoot = e.store.Root(), e.clients.root()
	e.checkpoints = append(e.checkpoints, &u.checkpoint)
	e.underway = nil
	return u.state
}

// letGo lets go of the checkpoints below the stable one. Those above it may
// become stable, however many there are: at most as many as the window holds.
func (e *Engine) letGo(stable uint64) {
	for len(e.checkpoints) > 1 && e.checkpoints[1].state.N <= stable {
		e.retire(e.checkpoints[0])
		e.checkpoints[0] = nil
		e.checkpoints = e.checkpoints[1:]
	}
}

// finish completes the checkpoint under way.
func (e *Engine) finishCheckpoint() (s *message.State) {
	for e.underway != nil {
		s = e.advance(numBuckets)
	}
	return s
}
