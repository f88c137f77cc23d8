package sim

import (
	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/server/statemachine"
)

// history is what the cluster executed, and what a model of client table and
// application makes of it. The first replica that executes a batch adds it.
type history struct {
	entries []entry // of 1, 2, ...
	issued  map[requestKey]issue
	answers map[requestKey]*outcome
	table   map[string]*modelClient
	app     statemachine.StateMachine
	state   modelState
	results statemachine.Results
	window  uint64
	total   uint64 // operations executed
	lastUS  int64
}

// entry is one executed batch.
type entry struct {
	digest  crypto.Digest
	timeUS  int64
	total   uint64 // operations executed up to here
	blocks  uint64 // hash of what the clients are told
	windows uint64 // hash of the clients' windows
}

type requestKey struct {
	client string
	number uint64
}

// issue is what a client said that it wants.
type issue struct {
	op      string
	session uint64
}

// outcome is what became of a request.
type outcome struct {
	position uint64 // rises with the order of execution
	n        uint64
	value    []byte
	session  uint64
}

// modelClient is a client in the table of docs/protocol.md section 4.7.
type modelClient struct {
	low      uint64
	executed map[uint64]bool
}

// modelState is the plainest state that an application can have.
type modelState map[string][]byte

func (modelState) Prefetch([][]byte) {}

func (s modelState) Get(key []byte) ([]byte, bool) {
	v, ok := s[string(key)]
	return v, ok
}

func (s modelState) Put(key, value []byte) { s[string(key)] = append([]byte(nil), value...) }

func (s modelState) Delete(key []byte) { delete(s, string(key)) }

func (y *history) init(p *Plan) {
	*y = history{
		issued: map[requestKey]issue{}, answers: map[requestKey]*outcome{}, table: map[string]*modelClient{},
		app: p.application(), state: modelState{}, window: uint64(p.ClientWindow),
	}
}

// modelResult is what the model answers to one request of a batch.
type modelResult struct {
	client  string
	session uint64
	number  uint64
	status  crypto.Status
	outcome *outcome // nil: expired
}

// run executes the next batch. problem names the first request that nobody
// issued.
func (y *history) run(x *consensus.Exec) (out []modelResult, problem string) {
	if x.Batch == nil {
		return nil, ""
	}
	batch := statemachine.Batch{N: x.N, TimeUS: x.TimeUS, Seed: x.Digest}
	var ran []*outcome
	var r crypto.Request
	for i := range x.Batch.Groups {
		g := &x.Batch.Groups[i]
		for cur := g.Cursor(); cur.Next(&r); {
			key := requestKey{string(g.Client), r.Number}
			if y.issued[key] != (issue{string(r.Op), g.Session}) && problem == "" && key.client != puppet {
				problem = key.client
			}
			m := modelResult{client: key.client, session: g.Session, number: r.Number, status: crypto.StatusOK}
			c := y.client(key.client)
			switch {
			case r.Number < c.low:
				m.status = crypto.StatusExpired
			case c.executed[r.Number]:
				m.outcome = y.answers[key]
				if m.outcome.session != g.Session {
					m.status = crypto.StatusRejected
				}
			default:
				c.execute(r.Number, y.window)
				y.total++
				m.outcome = &outcome{position: x.N<<20 | uint64(len(out)), n: x.N, session: g.Session}
				y.answers[key] = m.outcome
				ran = append(ran, m.outcome)
				batch.Ops = append(batch.Ops, statemachine.Op{Client: key.client, Number: r.Number, Data: r.Op})
			}
			out = append(out, m)
		}
	}
	if len(ran) > 0 {
		y.results.Reset()
		y.app.Apply(&batch, y.state, &y.results)
		for i, o := range ran {
			o.value = append([]byte(nil), y.results.Get(i)...)
		}
	}
	return out, problem
}

func (y *history) client(name string) *modelClient {
	c := y.table[name]
	if c == nil {
		c = &modelClient{executed: map[uint64]bool{}}
		y.table[name] = c
	}
	return c
}

// execute notes that a number is executed, and slides the window up to it.
func (c *modelClient) execute(x, window uint64) {
	c.executed[x] = true
	if x < c.low+window {
		return
	}
	c.low = x - window + 1
	for y := range c.executed { //maporder: each is looked at by itself
		if y < c.low {
			delete(c.executed, y)
		}
	}
}

// sameWindow reports whether the model's window is the one reported.
func (c *modelClient) sameWindow(w *consensus.Window, size uint64) bool {
	if w.Low != c.low {
		return false
	}
	for x := c.low; x < c.low+size; x++ {
		bit := w.Bits[x%size/64]&(1<<(x%size%64)) != 0
		if bit != c.executed[x] {
			return false
		}
	}
	return true
}

// hashWindows reduces windows to a number.
func hashWindows(list []consensus.Window) (x uint64) {
	for i := range list {
		w := &list[i]
		for _, b := range []byte(w.Client) {
			x = fold(x, uint64(b))
		}
		x = fold(x, w.Low)
		for _, b := range w.Bits {
			x = fold(x, b)
		}
	}
	return x
}

func fold(x, y uint64) uint64 {
	x = (x ^ y) * 0x9E3779B97F4A7C15
	return x ^ x>>29
}

// requestsOf is how many requests a batch holds.
func requestsOf(b *message.Batch) int {
	if b == nil {
		return 0
	}
	return int(b.Header.Count)
}
