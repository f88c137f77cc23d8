package execution

import (
	"cmp"
	"container/heap"
	"fmt"
	"slices"
	"strings"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/server/statemachine"
)

// staged is the state that is being put together. Nothing of it is served.
type staged struct {
	store  *Store
	leaves []crypto.Digest // of what is in store
	table  []*client       // by position; nil: missing
}

// stage asks for every piece that neither the own state has nor an earlier
// target brought.
func (t *transfer) stage() {
	s := &t.staged
	if s.store == nil {
		s.store, s.leaves = NewStore(t.e.cfg.Cluster), make([]crypto.Digest, numBuckets)
	}
	own := t.e.store
	for i := numBuckets - 1; i >= 0; i-- {
		leaf := t.buckets[i]
		if s.leaves[i] == leaf {
			continue
		}
		s.store.clearBucket(i)
		s.leaves[i] = crypto.Digest{}
		switch {
		case leaf.IsZero():
		case !own.dirty.has(i) && !own.tree.pending.has(i) && own.tree.levels[treeLevels][i] == leaf:
			s.store.copyBucket(i, own)
			s.leaves[i] = leaf
		default:
			t.add(want{message.Application, false, uint32(i)})
		}
	}
	old := make(map[crypto.Digest]*client, len(s.table))
	for _, c := range s.table {
		if c != nil {
			old[c.leaf] = c
		}
	}
	s.table = make([]*client, len(t.clients))
	for i := len(t.clients) - 1; i >= 0; i-- {
		if s.table[i] = old[t.clients[i]]; s.table[i] == nil {
			t.add(want{message.Clients, false, uint32(i)})
		}
	}
}

// keep verifies a piece and puts it into the staged state.
func (t *transfer) keep(w want, data []byte) (err error) {
	switch w.component {
	case message.Application:
		i := int(w.index)
		h := &t.staged.store.tree.h
		entries, large, err := parseBucketPiece(h, i, t.buckets[i], data)
		if err != nil {
			return err
		}
		t.staged.store.setBucket(i, entries, large)
		t.staged.leaves[i] = t.buckets[i]
	case message.Clients:
		t.staged.table[w.index], err = t.e.clients.parseClientPiece(t.clients[w.index], data)
	case message.History:
		t.peaks, err = parseFrontier(t.e.cfg.Cluster, t.state.HistoryRoot, t.state.HistorySize, data)
	}
	return err
}

// finish puts the staged state in the place of the own one, whole, if that is
// still older.
func (t *transfer) finish(post Post) *Installed {
	e := t.e
	if e.lastN >= t.state.N {
		t.conclude(post) // the log was faster
		return &Installed{State: t.state}
	}
	store := t.staged.store
	snapshot := store.Checkpoint()
	if store.Root() != t.state.AppRoot {
		t.staged = staged{} // cannot be: each bucket was verified
		t.restart()
		t.ask(post)
		return nil
	}
	if e.saver != nil {
		e.saver.giveUp()
		store.unsaved = newBitset(numBuckets)
	}
	e.drop()
	e.store, e.frontier = store, t.peaks
	e.lastN, e.lastTimeUS, e.checkpointN = t.state.N, t.state.LastTimeUS, t.state.N
	e.clients.replace(t.staged.table)
	e.history.reset()
	c := &checkpoint{state: t.state, snapshot: snapshot, frontier: t.peaks.Clone(), clients: e.clients.beginPeriod()}
	c.clients.leaves = t.clients
	e.checkpoints = []*checkpoint{c}
	if e.saver != nil {
		e.saver.replaced(c)
	}
	if err := e.restored(); err != nil {
		panic(fmt.Sprintf("%v: a quorum certified it", err))
	}
	t.conclude(post)
	return &Installed{State: t.state, Windows: e.clients.windows()}
}

// conclude ends the transfer, or goes on to a newer target.
func (t *transfer) conclude(post Post) {
	t.e.transfer = nil
	if c := t.newer; c != nil && c.N() > t.e.lastN {
		t.e.Install(c, len(t.sources))
		t.e.transfer.ask(post)
	}
}

// drop lets go of everything that belongs to the state that is left.
func (e *Engine) drop() {
	e.checkpoints, e.leased, e.underway = nil, nil, nil
	e.clients.periods = nil
}

// restored tells the application of the state, if it wants to know.
func (e *Engine) restored() error {
	if r, ok := e.sm.(statemachine.Restorer); ok {
		if err := r.Restored(e.lastN, e.store); err != nil {
			return fmt.Errorf("execution: the application refuses the state at %d: %w", e.lastN, err)
		}
	}
	return nil
}

// replace takes the place of all clients.
func (t *clientTable) replace(table []*client) {
	t.byName = make(map[string]*client, len(table))
	t.sorted, t.byAge, t.last, t.pending = table, nil, nil, nil
	for _, c := range table {
		c.period = t.period
		t.byName[c.name] = c
		t.byAge = append(t.byAge, c)
	}
	slices.SortFunc(t.sorted, func(a, b *client) int { return strings.Compare(a.name, b.name) })
	heap.Init(&t.byAge)
}

// windows are those of all clients.
func (t *clientTable) windows() (out []consensus.Window) {
	for _, c := range t.sorted {
		out = append(out, consensus.Window{Client: c.name, Low: c.low, Bits: c.appendBits(nil)})
	}
	return out
}

// clearBucket empties a bucket.
func (s *Store) clearBucket(i int) {
	b := &s.buckets[i]
	if b.more != nil {
		_, large := b.appendTo(nil, nil)
		for _, r := range large {
			s.values.drop(r)
		}
	}
	*b = chunk{}
	s.dirty.add(i)
}

// setBucket fills an empty bucket with entries and copies of their long values.
func (s *Store) setBucket(i int, data []byte, large [][]byte) {
	var refs []ref
	for _, v := range large {
		refs = append(refs, s.values.add(v))
	}
	s.fillBucket(i, data, refs)
}

// fillBucket fills an empty bucket with entries and their long values.
func (s *Store) fillBucket(i int, data []byte, large []ref) {
	b := &s.buckets[i]
	b.data = data
	if len(large) > 0 {
		b.more = &more{large: large}
	}
	s.dirty.add(i)
	for c := b; len(c.data) > chunkSize; { // from the left, part by part
		parts := len(b.parts())
		b.split(c)
		if len(b.parts()) == parts {
			break
		}
		c = b.longest()
	}
}

// copyBucket fills an empty bucket with what another store has in it.
func (s *Store) copyBucket(i int, from *Store) {
	data, refs := from.buckets[i].appendTo(nil, nil)
	var large [][]byte
	for _, r := range refs {
		large = append(large, from.values.get(r))
	}
	s.setBucket(i, data, large)
}

func (b *chunk) parts() []chunk {
	if b.more == nil {
		return nil
	}
	return b.more.parts
}

// longest is the longest part of a bucket.
func (b *chunk) longest() *chunk {
	if len(b.parts()) == 0 {
		return b
	}
	i := 0
	for k := range b.more.parts {
		if len(b.more.parts[k].data) > len(b.more.parts[i].data) {
			i = k
		}
	}
	return &b.more.parts[i]
}

func sortWants(w []want) {
	slices.SortFunc(w, func(a, b want) int { return -cmp.Compare(a.index, b.index) })
}

func (h *history) reset() { *h = history{limit: h.limit, unsaved: h.unsaved} }
