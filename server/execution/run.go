package execution

import (
	"fmt"
	"slices"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/server/statemachine"
)

// run is the batch at work. Its memory is reused from batch to batch.
type run struct {
	calls    []call
	batch    statemachine.Batch
	results  statemachine.Results
	outcomes []crypto.Result // of all requests, block by block
	evicted  []string
	blocks   map[blockKey]int // index in Output.Blocks
	counts   []int            // requests by block
	hasher   crypto.BlockHasher
}

// call is one request on its way through execution.
type call struct {
	client *client
	result *crypto.Result // where its outcome belongs
	run    bool           // its operation is among those of the batch
	first  int            // earlier call that runs the same request, -1: none
}

type blockKey struct {
	client  string
	session uint64
}

func (r *run) reset() {
	clear(r.calls)
	clear(r.batch.Ops)
	clear(r.outcomes)
	clear(r.evicted)
	clear(r.blocks)
	r.calls, r.batch.Ops, r.evicted, r.counts = r.calls[:0], r.batch.Ops[:0], r.evicted[:0], r.counts[:0]
	r.results.Reset()
}

// perform runs the requests of a batch: decides on each, gives the operations
// to the application, keeps and reports the results.
func (e *Engine) perform(x *consensus.Exec, out *Output, entry *LogEntry) {
	e.makeBlocks(x.Batch, out)
	e.admit(x.Batch, x.N, out)
	e.apply(x)
	e.finish(entry)
	e.digestBlocks(out)
	e.reportWindows(x.N, out)
}

// makeBlocks makes an empty block of the right size for each (client,
// session) of the batch.
func (e *Engine) makeBlocks(b *message.Batch, out *Output) {
	r := &e.run
	if r.blocks == nil {
		r.blocks = make(map[blockKey]int)
	}
	for i := range b.Groups {
		g := &b.Groups[i]
		at, ok := r.blocks[blockKey{string(g.Client), g.Session}]
		if !ok {
			at = len(out.Blocks)
			out.Blocks = append(out.Blocks, Block{Client: e.clients.intern(g.Client), Session: g.Session})
			r.blocks[blockKey{out.Blocks[at].Client, g.Session}] = at
			r.counts = append(r.counts, 0)
		}
		r.counts[at] += g.Count
	}
	count := int(b.Header.Count)
	r.outcomes = slices.Grow(r.outcomes[:0], count)[:count]
	at := 0
	for i, n := range r.counts {
		out.Blocks[i].Results = r.outcomes[at : at : at+n]
		at += n
	}
	r.calls = slices.Grow(r.calls, count)
}

// admit decides for each request, in order, whether it runs. A number that
// runs is marked at once, so that its repetition in the batch does not.
//
// The outcome of a repetition is the one that stands when its turn comes;
// within the batch it is the result whole, even if the table keeps a
// tombstone.
func (e *Engine) admit(b *message.Batch, n uint64, out *Output) {
	r := &e.run
	var req crypto.Request
	for i := range b.Groups {
		g := &b.Groups[i]
		c, evicted := e.clients.open(g.Client, n)
		if evicted != nil {
			r.evicted = append(r.evicted, evicted.name)
		}
		block := &out.Blocks[r.blocks[blockKey{string(g.Client), g.Session}]]
		for cur := g.Cursor(); cur.Next(&req); {
			k := call{client: c, first: -1}
			fresh, result := c.admit(req.Number, g.Session)
			switch {
			case fresh && req.Kind == crypto.KindOperation:
				k.run = true
				result = crypto.Result{N: n, Number: req.Number, Status: crypto.StatusOK}
				r.batch.Ops = append(r.batch.Ops, statemachine.Op{Client: c.name, Number: req.Number, Data: req.Op})
			case fresh: // nothing of this kind is served: the number is used up
				result = crypto.Result{N: n, Number: req.Number, Status: crypto.StatusRejected}
			case result.Status == crypto.StatusOK && result.N == n:
				k.first = int(c.reply(req.Number).at)
			}
			if fresh {
				c.mark(req.Number, n, g.Session, result.Status, len(r.calls))
			}
			if g.Origin != 0 || len(req.ReplyURL) > 0 {
				block.Singles = append(block.Singles, Single{
					Result: len(block.Results), Origin: g.Origin,
					URL: req.ReplyURL, Op: req.Op, ClientTime: req.ClientTime, Executed: k.run,
				})
			}
			block.Results = append(block.Results, result)
			k.result = &block.Results[len(block.Results)-1]
			r.calls = append(r.calls, k)
		}
	}
}

// apply gives the application the batch as a whole.
func (e *Engine) apply(x *consensus.Exec) {
	r := &e.run
	if len(r.batch.Ops) == 0 {
		return
	}
	r.batch.N, r.batch.TimeUS, r.batch.Seed = x.N, x.TimeUS, x.Digest
	e.sm.Apply(&r.batch, e.store, &r.results)
	if got, want := r.results.Len(), len(r.batch.Ops); got != want {
		panic(fmt.Sprintf("execution: the application gave %d results for %d operations of batch %d", got, want, x.N))
	}
}

// finish puts the results into the client table and the reply blocks.
func (e *Engine) finish(entry *LogEntry) {
	r := &e.run
	entry.outcomes = make([]outcome, len(r.calls))
	next := 0
	for i := range r.calls {
		k := &r.calls[i]
		if k.run {
			k.result.Value = r.results.Get(next)
			next++
			// A later request of the batch may have closed the number.
			if k.result.Number >= k.client.low {
				e.clients.settle(k.client, k.result.Number, k.result.Value)
			}
		} else if k.first >= 0 {
			*k.result = *r.calls[k.first].result
		}
		entry.outcomes[i] = outcome{k.result.Status, k.run}
	}
	e.executed += uint64(next)
}

func (e *Engine) digestBlocks(out *Output) {
	for i := range out.Blocks {
		b := &out.Blocks[i]
		e.run.hasher.Reset(e.cfg.Cluster)
		for j := range b.Results {
			e.run.hasher.Add(b.Session, &b.Results[j])
		}
		b.Digest = e.run.hasher.Sum()
	}
}

// reportWindows reports each client of the batch once, and those evicted.
func (e *Engine) reportWindows(n uint64, out *Output) {
	r := &e.run
	windows := make([]consensus.Window, 0, len(r.evicted)+len(out.Blocks))
	for _, name := range r.evicted {
		windows = append(windows, consensus.Window{Client: name, Gone: true})
	}
	bits := make([]uint64, 0, len(out.Blocks)*e.cfg.ClientWindow/64)
	for i := range r.calls {
		c := r.calls[i].client
		if c.reported == n || e.clients.byName[c.name] != c {
			continue
		}
		c.reported = n
		at := len(bits)
		bits = c.appendBits(bits)
		windows = append(windows, consensus.Window{Client: c.name, Low: c.low, Bits: bits[at:len(bits):len(bits)]})
	}
	out.Executed.Windows = windows
}
