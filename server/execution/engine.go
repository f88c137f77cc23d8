// Package execution runs ordered batches: each request exactly once, its
// result kept for retransmissions, the batch in the history, the state under a
// digest. It is deterministic and used by one goroutine.
package execution

import (
	"fmt"
	"math"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/server/statemachine"
)

// Config is what execution must know. ClientWindow to MaxClients change the
// state, so they are equal at all replicas.
type Config struct {
	Cluster         crypto.ClusterID
	Epoch           uint64
	Self            message.ReplicaID
	ClientWindow    int // W, numbers, a multiple of 64
	MaxCachedResult int // bytes of the largest result in the client table
	ReplyBytes      int // bytes of results per client in the client table
	MaxClients      int // clients in the client table
	ConfigDigest    crypto.Digest

	HistoryBytes int   // bytes of executed bodies kept in memory
	ResultCache  int   // bytes of recent results kept in memory, for late questions
	SaveBytes    int   // bytes executed from one saved state to the next; 0: 64 MiB
	HistoryKeep  int64 // bytes of executed bodies kept on disk; 0: 1 GiB, negative: all
}

// maxReplyBytes bounds ReplyBytes: results are found by 32 bits.
const maxReplyBytes = 1 << 30

func (c *Config) check() error {
	switch {
	case c.ClientWindow < pageSize || c.ClientWindow%pageSize != 0:
		return fmt.Errorf("execution: client window %d, allowed are positive multiples of %d", c.ClientWindow, pageSize)
	case c.MaxClients < 1:
		return fmt.Errorf("execution: max clients %d, at least 1 is needed", c.MaxClients)
	case c.ReplyBytes < 0 || c.ReplyBytes > maxReplyBytes:
		return fmt.Errorf("execution: %d reply bytes per client, allowed are 0 to %d", c.ReplyBytes, maxReplyBytes)
	case c.SaveBytes < 0:
		return fmt.Errorf("execution: a save every %d bytes, it must not be negative", c.SaveBytes)
	case c.MaxCachedResult < 0:
		return fmt.Errorf("execution: max cached result %d bytes, it must not be negative", c.MaxCachedResult)
	}
	return nil
}

// Engine executes batches.
type Engine struct {
	cfg      Config
	sm       statemachine.StateMachine
	store    *Store
	clients  *clientTable
	frontier crypto.Frontier
	history  history
	recent   recent

	lastN      uint64
	lastTimeUS int64
	executed   uint64 // operations, duplicates left out

	checkpoints []*checkpoint // complete ones, from the last stable one on, oldest first
	leased      *checkpoint   // an older one that a peer is fetching, or nil
	underway    *underway     // or nil
	transfer    *transfer     // of another replica's state to here, or nil
	tick        uint64
	blamed      []error // what liars sent
	checkpointN uint64  // number of the last one begun
	run         run     // the batch at work
	out         Output  // of it
	saver       *saver  // nil: the state is in memory only
}

// New makes an engine with an empty state, which it keeps in memory only: Open
// is for others.
func New(c Config, sm statemachine.StateMachine) (*Engine, error) {
	e, err := newEngine(c, sm, NewStore(c.Cluster))
	if err != nil {
		return nil, err
	}
	if err := e.restored(); err != nil {
		return nil, err
	}
	return e, nil
}

func newEngine(c Config, sm statemachine.StateMachine, s *Store) (*Engine, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	e := &Engine{cfg: c, sm: sm, store: s}
	e.clients = newClientTable(&e.cfg, &e.recent)
	e.history.limit, e.history.unsaved = c.HistoryBytes, math.MaxUint64
	e.recent.limit = c.ResultCache
	return e, nil
}

// Output is what became of a batch. All of it but Executed and State is valid
// until the next batch.
type Output struct {
	Executed consensus.Executed
	Blocks   []Block        // one per (client, session), in order of first appearance
	State    *message.State // of a checkpoint that became complete meanwhile, or nil
}

// Block holds the outcomes of one (client, session) in one batch.
type Block struct {
	Client  string
	Session uint64
	Results []crypto.Result // in batch order
	Digest  crypto.Digest
	Singles []Single // by rising Result
}

// Single is a reply that goes elsewhere than to the session's streams.
type Single struct {
	Result     int    // in Results
	Origin     uint16 // replica that admitted the request, plus one; 0: none
	URL, Op    []byte // alias the batch
	ClientTime uint64
	Executed   bool // now, not before
}

// Execute runs one batch. The core hands them out strictly by number. A
// checkpoint that the batch asks for is complete with a later batch, or by
// Advance.
func (e *Engine) Execute(x *consensus.Exec) *Output {
	if x.N != e.lastN+1 {
		panic(fmt.Sprintf("execution: batch %d behind %d (a bug: please report it)", x.N, e.lastN))
	}
	e.lastN = x.N
	e.letGo(x.Stable)
	e.run.reset()
	e.out = Output{Executed: consensus.Executed{N: x.N}, Blocks: e.out.Blocks[:0]}
	out := &e.out
	entry := &LogEntry{Digest: x.Digest, View: x.View, TimeUS: x.TimeUS, Header: message.Header{Epoch: x.Epoch, N: x.N}}
	if x.Batch != nil {
		entry.Header, entry.batch = x.Batch.Header, x.Batch
		e.perform(x, out, entry)
		if x.Batch.Header.Count > 0 {
			e.lastTimeUS = x.TimeUS
		}
	}
	e.appendHistory(x, out.Blocks)
	e.history.add(entry)
	if x.Checkpoint {
		out.State = e.finishCheckpoint()
		e.beginCheckpoint(x)
	} else if e.underway != nil {
		out.State = e.advance(e.underway.piece)
	}
	if e.saver != nil {
		out.State = e.saver.executed(x, out.State)
	}
	return out
}

// appendHistory adds the batch's leaf to the history tree.
func (e *Engine) appendHistory(x *consensus.Exec, blocks []Block) {
	leaves := make([]crypto.Digest, len(blocks))
	for i := range blocks {
		leaves[i] = e.cfg.Cluster.ResultLeaf([]byte(blocks[i].Client), blocks[i].Session, blocks[i].Digest)
	}
	results := e.cfg.Cluster.MerkleRoot(leaves)
	var buf [128]byte
	b := crypto.AppendU64(buf[:0], x.Epoch)
	b = crypto.AppendU64(b, x.N)
	b = append(b, x.Digest[:]...)
	b = crypto.AppendU64(b, uint64(x.TimeUS))
	b = append(b, results[:]...)
	e.frontier.Append(e.cfg.Cluster, e.cfg.Cluster.Hash(crypto.TagLeaf, b))
}
