// Package execution runs ordered batches: each request exactly once, its
// result kept for retransmissions, the batch in the history, the state under a
// digest. It is deterministic and used by one goroutine.
package execution

import (
	"fmt"
	"slices"

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

	HistoryBytes int // bytes of executed bodies kept here
	ResultCache  int // bytes of recent results kept here, for late questions
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
	executed   uint64 // requests, duplicates left out

	checkpoints [2]checkpoint // the newest two, newest first
	scratch     scratch
}

// checkpoint is a state that peers may ask for.
type checkpoint struct {
	state    *message.State
	snapshot *Snapshot
}

// New makes an engine with an empty state.
func New(c Config, sm statemachine.StateMachine) (*Engine, error) {
	if c.ClientWindow < 64 || c.ClientWindow%64 != 0 || c.MaxClients < 1 {
		return nil, fmt.Errorf("execution: client window %d must be a positive multiple of 64, and max clients %d at least 1", c.ClientWindow, c.MaxClients)
	}
	e := &Engine{cfg: c, sm: sm, store: NewStore(c.Cluster)}
	e.clients = newClientTable(&e.cfg)
	e.history.limit = c.HistoryBytes
	e.recent.limit = c.ResultCache
	e.recent.results = make(map[resultKey]*recentResult)
	if r, ok := sm.(statemachine.Restorer); ok {
		if err := r.Restored(0, e.store); err != nil {
			return nil, fmt.Errorf("execution: the application refuses an empty state: %w", err)
		}
	}
	return e, nil
}

// Output is what became of a batch.
type Output struct {
	Executed consensus.Executed
	Blocks   []Block        // one per (client, session), in order of first appearance
	State    *message.State // after it, if the batch asked for a checkpoint
}

// Block holds the outcomes of one (client, session) in one batch.
type Block struct {
	Client  string
	Session uint64
	Results []crypto.Result // in batch order
	Digest  crypto.Digest
	Items   []Item // parallel to Results
}

// Item is what steers the reply to one request.
type Item struct {
	Origin     uint16 // replica that admitted it, plus one; 0: none
	URL, Op    []byte // alias the batch
	ClientTime uint64
	Executed   bool // now, not before
}

// Execute runs one batch. The core hands them out strictly by number.
func (e *Engine) Execute(x *consensus.Exec) *Output {
	if x.N != e.lastN+1 {
		panic(fmt.Sprintf("execution: batch %d behind %d (a bug: please report it)", x.N, e.lastN))
	}
	e.lastN = x.N
	out := &Output{Executed: consensus.Executed{N: x.N}}
	entry := &LogEntry{Digest: x.Digest, View: x.View, TimeUS: x.TimeUS, Header: message.Header{Epoch: x.Epoch, N: x.N}}
	if x.Batch != nil {
		entry.Header, entry.batch = x.Batch.Header, x.Batch
		e.scratch.reset()
		e.admit(x.Batch, x.N)
		e.apply(x)
		e.finish(x, out, entry)
		if x.Batch.Header.Count > 0 {
			e.lastTimeUS = x.TimeUS
		}
	}
	e.appendHistory(x, out.Blocks)
	e.history.add(entry)
	if x.Checkpoint {
		out.State = e.checkpoint(x.N)
	}
	return out
}

// scratch is reused from batch to batch.
type scratch struct {
	calls   []call
	batch   statemachine.Batch
	results statemachine.Results
	evicted []string
	list    []byte
}

func (s *scratch) reset() {
	clear(s.calls)
	clear(s.batch.Ops)
	s.calls, s.batch.Ops = s.calls[:0], s.batch.Ops[:0]
	s.results.Reset()
	s.evicted = s.evicted[:0]
}

// call is one request on its way through execution.
type call struct {
	client  *client
	name    string
	session uint64
	req     crypto.Request
	origin  uint16
	run     bool          // to be executed
	first   int           // earlier call of this batch that runs the same request, -1: none
	result  crypto.Result // of those that do not run
}

// admit decides for each request, in order, whether it runs. A number that
// runs is marked at once, so that its repetition in the batch does not.
func (e *Engine) admit(b *message.Batch, n uint64) {
	s := &e.scratch
	var req crypto.Request
	for i := range b.Groups {
		g := &b.Groups[i]
		c, evicted := e.clients.open(g.Client)
		if evicted != nil {
			s.evicted = append(s.evicted, evicted.name)
		}
		for cur := g.Cursor(); cur.Next(&req); {
			k := call{client: c, name: c.name, session: g.Session, req: req, origin: g.Origin, first: -1}
			k.run, k.result = c.admit(req.Number, g.Session)
			if k.run {
				e.clients.store(c, req.Number, n, g.Session, crypto.StatusOK, nil)
				s.batch.Ops = append(s.batch.Ops, statemachine.Op{Client: c.name, Number: req.Number, Data: req.Op})
			} else if k.result.N == n && k.result.Status == crypto.StatusOK {
				k.first = s.runOf(c, req.Number)
			}
			s.calls = append(s.calls, k)
		}
	}
}

// runOf finds the call of this batch that runs a client's number.
func (s *scratch) runOf(c *client, number uint64) int {
	return slices.IndexFunc(s.calls, func(k call) bool { return k.run && k.client == c && k.req.Number == number })
}

// apply gives the application the batch as a whole.
func (e *Engine) apply(x *consensus.Exec) {
	s := &e.scratch
	if len(s.batch.Ops) == 0 {
		return
	}
	s.batch.N, s.batch.TimeUS, s.batch.Seed = x.N, x.TimeUS, x.Digest
	e.sm.Apply(&s.batch, e.store, &s.results)
	if got, want := s.results.Len(), len(s.batch.Ops); got != want {
		panic(fmt.Sprintf("execution: the application gave %d results for %d operations of batch %d", got, want, x.N))
	}
}

// finish stores the results and forms the reply blocks.
func (e *Engine) finish(x *consensus.Exec, out *Output, entry *LogEntry) {
	s := &e.scratch
	slab := make([]byte, 0, e.resultBytes())
	entry.outcomes = make([]outcome, 0, len(s.calls))
	next := 0
	for i := range s.calls {
		k := &s.calls[i]
		if k.run {
			value := s.results.Get(next)
			next++
			e.executed++
			at := len(slab)
			slab = append(slab, value...)
			value = slab[at:len(slab):len(slab)]
			if k.client.low <= k.req.Number { // not closed by a later one of this batch
				e.clients.store(k.client, k.req.Number, x.N, k.session, crypto.StatusOK, value)
			}
			e.recent.add(k.name, k.req.Number, k.session, x.N, value)
			k.result = crypto.Result{N: x.N, Number: k.req.Number, Status: crypto.StatusOK, Value: value}
		} else if k.first >= 0 {
			k.result = s.calls[k.first].result
		}
		entry.outcomes = append(entry.outcomes, outcome{k.result.Status, k.run})
		e.addToBlock(out, k)
	}
	for i := range out.Blocks {
		b := &out.Blocks[i]
		s.list = s.list[:0]
		for j := range b.Results {
			s.list = crypto.AppendResult(s.list, b.Session, &b.Results[j])
		}
		b.Digest = e.cfg.Cluster.BlockDigest(s.list)
	}
	e.windows(out)
}

func (e *Engine) resultBytes() (n int) {
	for i := range e.scratch.results.Len() {
		n += len(e.scratch.results.Get(i))
	}
	return n
}

func (e *Engine) addToBlock(out *Output, k *call) {
	var b *Block
	// The newest block is the likely one: a group's requests come together.
	for i := len(out.Blocks) - 1; i >= 0; i-- {
		if c := &out.Blocks[i]; c.Session == k.session && c.Client == k.name {
			b = c
			break
		}
	}
	if b == nil {
		out.Blocks = append(out.Blocks, Block{Client: k.name, Session: k.session})
		b = &out.Blocks[len(out.Blocks)-1]
	}
	b.Results = append(b.Results, k.result)
	b.Items = append(b.Items, Item{Origin: k.origin, URL: k.req.ReplyURL, Op: k.req.Op, ClientTime: k.req.ClientTime, Executed: k.run})
}

// windows reports each client of the batch once, and those evicted.
func (e *Engine) windows(out *Output) {
	for _, name := range e.scratch.evicted {
		out.Executed.Windows = append(out.Executed.Windows, consensus.Window{Client: name, Gone: true})
	}
	seen := make(map[*client]bool)
	for i := range e.scratch.calls {
		c := e.scratch.calls[i].client
		if i > 0 && e.scratch.calls[i-1].client == c || seen[c] {
			continue
		}
		seen[c] = true
		if e.clients.byName[c.name] == c {
			out.Executed.Windows = append(out.Executed.Windows, c.window())
		}
	}
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

// checkpoint digests the state after n and keeps a snapshot of it.
func (e *Engine) checkpoint(n uint64) *message.State {
	s := &message.State{
		Epoch: e.cfg.Epoch, N: n,
		AppRoot: e.store.Root(), ClientsRoot: e.clients.root(),
		HistoryRoot: e.frontier.Root(e.cfg.Cluster), HistorySize: e.frontier.Size,
		LastTimeUS: e.lastTimeUS, ConfigDigest: e.cfg.ConfigDigest,
	}
	e.checkpoints[1] = e.checkpoints[0]
	e.checkpoints[0] = checkpoint{s, e.store.Snapshot()}
	return s
}

// CheckpointState is the state at n if it is one of the newest two
// checkpoints, else nil.
func (e *Engine) CheckpointState(n uint64) *message.State {
	for _, c := range e.checkpoints {
		if c.state != nil && c.state.N == n {
			return c.state
		}
	}
	return nil
}

// LastExecuted is the number of the last batch.
func (e *Engine) LastExecuted() uint64 { return e.lastN }

// Clients is the number of clients in the client table.
func (e *Engine) Clients() int { return len(e.clients.byName) }

// ExecutedRequests counts requests since the start, duplicates left out.
func (e *Engine) ExecutedRequests() uint64 { return e.executed }

// ClientInfo tells the lowest open number of a client, and one more than its
// highest executed one.
func (e *Engine) ClientInfo(name string) (low, next uint64) {
	if c := e.clients.byName[name]; c != nil {
		return c.low, c.high
	}
	return 0, 0
}

// Lookup is the outcome of one request as this replica knows it; session 0 is
// any. realSession is the session under which the number was executed.
func (e *Engine) Lookup(name string, session, number uint64) (r crypto.Result, realSession uint64) {
	c := e.clients.byName[name]
	switch {
	case c == nil || number >= c.low && !c.executed(number):
		return crypto.Result{Number: number, Status: crypto.StatusNotExecuted}, session
	case number < c.low:
		return crypto.Result{Number: number, Status: crypto.StatusExpired}, session
	}
	realSession = c.reply(number).session
	if session == 0 {
		session = realSession
	}
	r = c.outcome(number, session)
	if r.Tombstone {
		if v, ok := e.recent.find(name, number, session); ok {
			r.Tombstone, r.Value, r.Digest, r.Size = false, v, crypto.Digest{}, 0
		}
	}
	return r, realSession
}
