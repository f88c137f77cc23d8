package execution

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/server/statemachine"
)

// Loaded is the state that Open found.
type Loaded struct {
	N          uint64 // the last batch that it contains; 0: there is none
	LastTimeUS int64
	State      *message.State     // nil: there is none
	Windows    []consensus.Window // of all clients
}

// Open makes an engine that keeps its state in db, and goes on from the newest
// one that is there. It verifies all of it but the history's batches; an error
// that is ErrDamaged says what is not as it was saved. The host calls TakeSave
// after each Execute and Advance.
func Open(c Config, sm statemachine.StateMachine, db StateStore) (*Engine, *Loaded, error) {
	if err := c.check(); err != nil {
		return nil, nil, err
	}
	l, err := load(&c, db)
	if err != nil {
		return nil, nil, err
	}
	var store *Store
	if l != nil {
		store = l.store
	} else {
		store = NewStore(c.Cluster)
	}
	e, err := newEngine(c, sm, store)
	if err != nil {
		return nil, nil, err
	}
	e.saver = newSaver(e, db)
	loaded := &Loaded{}
	if l != nil {
		if err := e.adopt(l); err != nil {
			return nil, nil, err
		}
		loaded = &Loaded{N: l.state.N, LastTimeUS: l.state.LastTimeUS, State: &l.state, Windows: e.clients.windows()}
	}
	e.store.unsaved = newBitset(numBuckets)
	e.history.unsaved = e.lastN + 1
	if err := e.restored(); err != nil {
		return nil, nil, err
	}
	return e, loaded, nil
}

// loaded is a state from disk, verified.
type loaded struct {
	position
	store    *Store
	snapshot *Snapshot
	large    bitset // buckets with long values
	clients  []*client
	leaves   []crypto.Digest // of clients
}

// load reads and verifies the state on disk; nil: there is none.
func load(cfg *Config, db StateStore) (*loaded, error) {
	p, err := readPosition(cfg, db)
	if p == nil || err != nil {
		return nil, err
	}
	l := &loaded{position: *p, store: NewStore(cfg.Cluster), large: newBitset(numBuckets)}
	if err := l.loadStore(db); err != nil {
		return nil, err
	}
	l.snapshot = l.store.Checkpoint()
	if got := l.store.Root(); got != p.state.AppRoot {
		return nil, damaged("application: batch %d left root %s, what is there has %s", p.state.N, p.state.AppRoot.Hex(), got.Hex())
	}
	table := newClientTable(cfg, &recent{})
	if err := l.loadClients(table, db); err != nil {
		return nil, err
	}
	if got := cfg.Cluster.MerkleRoot(slices.Clone(l.leaves)); got != p.state.ClientsRoot {
		return nil, damaged("clients: batch %d left root %s, what is there has %s", p.state.N, p.state.ClientsRoot.Hex(), got.Hex())
	}
	return l, nil
}

// adopt takes the rest of a state from disk over.
func (e *Engine) adopt(l *loaded) error {
	e.frontier = l.frontier.Clone()
	e.lastN, e.lastTimeUS, e.checkpointN = l.state.N, l.state.LastTimeUS, l.state.N
	e.executed = l.executed
	e.clients.replace(l.clients)
	e.clients.nextID = l.nextID
	c := &checkpoint{state: &l.state, snapshot: l.snapshot, frontier: l.frontier, clients: e.clients.beginPeriod()}
	c.clients.leaves = l.leaves
	e.checkpoints = []*checkpoint{c}
	s := e.saver
	s.large, s.disk, s.began = l.large, l.position, l.state.N
	return e.loadHistory()
}

// foundValue is a long value that was read, before its bucket is.
type foundValue struct {
	longValue
	bucket int
	used   bool
}

// loadStore reads the application's state: the long values first.
func (l *loaded) loadStore(db StateStore) error {
	found, err := l.loadValues(db)
	if err != nil {
		return err
	}
	var refs []ref
	err = scanTable(db, tableBuckets, func(key, value []byte) error {
		if len(key) != 3 {
			return damaged("application: key %x", key)
		}
		i := int(key[1])<<8 | int(key[2])
		end := 0
		for end < len(found) && found[end].bucket == i {
			end++
		}
		own := found[:end]
		found = found[end:]
		refs = refs[:0]
		missing := false
		if err := eachEntry(value, func(e []byte, isLarge bool) {
			if isLarge {
				r, ok := l.claim(own, e[len(e)-len(noDigest):])
				missing = missing || !ok
				refs = append(refs, r)
			}
		}); err != nil {
			return damaged("application: bucket %d: %w", i, err)
		}
		if missing || slices.ContainsFunc(own, func(v foundValue) bool { return !v.used }) {
			return damaged("application: bucket %d and its long values do not fit together", i)
		}
		l.store.fillBucket(i, bytes.Clone(value), slices.Clone(refs))
		if len(refs) > 0 {
			l.large.add(i)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(found) > 0 {
		return damaged("application: long values of bucket %d, which is not there", found[0].bucket)
	}
	return nil
}

var errEntries = errors.New("its entries cannot be parsed")

// loadValues reads the long values, and verifies each.
func (l *loaded) loadValues(db StateStore) (found []foundValue, err error) {
	err = scanTable(db, tableValues, func(key, value []byte) error {
		if len(key) != 3+len(noDigest) {
			return damaged("application: key %x", key)
		}
		v := foundValue{bucket: int(key[1])<<8 | int(key[2])}
		v.digest = crypto.Digest(key[3:])
		if got := l.store.tree.h.c.ValueDigest(value); got != v.digest {
			return damaged("application: a long value of bucket %d hashes to %s, it was saved as %s", v.bucket, got.Hex(), v.digest.Hex())
		}
		v.ref = l.store.values.add(value)
		found = append(found, v)
		return nil
	})
	return found, err
}

// claim gives an entry its long value. Several entries have one each.
func (l *loaded) claim(own []foundValue, digest []byte) (ref, bool) {
	for i := range own {
		v := &own[i]
		switch {
		case !bytes.Equal(v.digest[:], digest):
			continue
		case v.used:
			return l.store.values.add(l.store.values.get(v.ref)), true
		}
		v.used = true
		return v.ref, true
	}
	return ref{}, false
}

// loadClients reads the client table.
func (l *loaded) loadClients(t *clientTable, db StateStore) error {
	err := scanTable(db, tableClients, func(key, value []byte) error {
		k, r := crypto.NewReader(key[1:]), crypto.NewReader(value)
		c := newClient("", uint64(t.cfg.ClientWindow))
		c.id, c.name, c.low, c.lastN = k.U64(), string(r.Bytes()), r.U64(), r.U64()
		if k.Done() != nil || r.Done() != nil || c.low > crypto.MaxNumber || c.id > l.nextID {
			return damaged("clients: client %d cannot be as it is", c.id)
		}
		c.age, c.onDisk, c.saved = c.lastN, c.low+1, true
		l.clients = append(l.clients, c)
		return nil
	})
	if err != nil {
		return err
	}
	at := 0
	err = scanTable(db, tablePages, func(key, value []byte) error {
		r := crypto.NewReader(key[1:])
		id, index := r.U64(), r.U64()
		for at < len(l.clients) && l.clients[at].id < id {
			at++
		}
		if r.Done() != nil || at == len(l.clients) || l.clients[at].id != id {
			return damaged("clients: page %d of client %d, which is not there", index, id)
		}
		c := l.clients[at]
		if err := c.addPage(value); err != nil || c.held(index) == nil {
			return damaged("clients: page %d of %q cannot be as it is", index, c.name)
		}
		c.held(index).saved = true
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(l.clients, func(a, b *client) int { return strings.Compare(a.name, b.name) })
	for i, c := range l.clients {
		if i > 0 && c.name == l.clients[i-1].name {
			return damaged("clients: %q is there twice", c.name)
		}
		c.leaf, c.clean = t.leaf(c), true
		l.leaves = append(l.leaves, c.leaf)
	}
	if len(l.clients) > t.cfg.MaxClients {
		return fmt.Errorf("execution: the saved state has %d clients, the configuration allows %d: all replicas must have kept it", len(l.clients), t.cfg.MaxClients)
	}
	return nil
}

// loadHistory reads the newest batches of the history into memory, as many as
// it may hold. They have no gap and end where the state does.
func (e *Engine) loadHistory() error {
	s := e.saver
	a := archive{&e.cfg, s.db}
	history := s.disk.history
	from, bytes := e.lastN+1, int64(0)
	for i := len(history) - 1; i >= 0 && bytes < int64(e.cfg.HistoryBytes); i-- {
		from = history[i].first
		bytes += history[i].bytes
	}
	var sizes []int // of the last batches without a gap
	last := uint64(0)
	if err := a.each(from, e.lastN+1, false, func(x *LogEntry) bool {
		if x.Header.N != last+1 {
			sizes = sizes[:0]
		}
		last = x.Header.N
		sizes = append(sizes, entryOverhead+int(x.Header.Bytes)+2*int(x.Header.Count))
		return true
	}); err != nil {
		return err
	}
	if last != e.lastN {
		return nil // it came from other replicas
	}
	from = e.lastN + 1
	for room := e.cfg.HistoryBytes; len(sizes) > 0 && room > 0; from-- {
		room -= sizes[len(sizes)-1]
		sizes = sizes[:len(sizes)-1]
	}
	return a.each(from, e.lastN+1, true, func(x *LogEntry) bool {
		e.history.add(x)
		return true
	})
}
