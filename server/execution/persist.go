package execution

import (
	"fmt"

	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
)

// An engine that keeps its state on disk saves it at a checkpoint, now and then:
// state, client table, history and the number of the batch change there as one.
// After a crash the log gives the batches above that number, and they are
// executed again. So a checkpoint's vote need not wait for its save.

// StateStore is where an engine keeps its state: sorted keys with values, on
// disk. The first byte of a key is its table. storage/state has one.
type StateStore interface {
	// Get reads one key; the caller keeps the value.
	Get(key []byte) (value []byte, ok bool, err error)
	// Scan calls f for every key in [from, to), in order. Key and value are valid
	// until f returns; an error of f ends the scan and is returned.
	Scan(from, to []byte, f func(key, value []byte) error) error
	NewSave() (Save, error)
}

// Save gathers changes of a StateStore and makes all of them at once. Keys of a
// table rise strictly; tables come by turns. It is an alias, so that a store need
// not import this package.
type Save = interface {
	Put(key, value []byte) error
	Delete(key []byte) error
	// DeleteRange removes what the keys in [from, to) were before the save.
	DeleteRange(from, to []byte) error
	// Cut parts what comes next in the key's table from what went before, which
	// is far from it.
	Cut(key []byte) error
	// Behind reports whether the writing behind the calls is late: more of them
	// would wait for the disk.
	Behind() bool
	// Commit makes the changes, all or none; once it returns nil they survive a
	// loss of power. It may run in another goroutine.
	Commit() error
	Abort()
}

const (
	defaultSaveBytes   = 64 << 20
	defaultHistoryKeep = 1 << 30
	batchOverhead      = 512  // what a batch counts for beside its body
	turns              = 4    // replicas save at different times, so many
	saveBatches        = 8192 // so many are executed again after a crash, at most, and a few hundred more
)

// saver keeps an engine's state on disk.
type saver struct {
	e  *Engine
	db StateStore

	bytes   int          // executed since the last save began
	began   uint64       // the batch with which it began
	early   int          // quarters of the way to a save by which the first comes early
	large   bitset       // buckets of which the disk has long values
	disk    position     // what is durable; state.N 0: nothing
	now     *save        // being gathered, or nil
	pending *PendingSave // on its way to the disk, or nil
	taken   bool         // by the host
	owed    uint64       // the log below it is gone: see owes
	damage  error        // that a question about the history met; the host gets it from TakeSave

	stray    []*LogEntry      // batches that the history in memory gave up before they were saved
	withheld []*message.State // see owes
	scratch
}

// newSaver makes a saver. Replicas take turns in saving, roughly, because what a
// save costs is not seen where only one of the replicas bears it at a time: a
// quorum goes on without it.
func newSaver(e *Engine, db StateStore) *saver {
	return &saver{e: e, db: db, large: newBitset(numBuckets), early: int(e.cfg.Self % turns)}
}

// PendingSave is a state that is gathered, and not durable yet.
type PendingSave struct {
	disk position
	full bool // nothing of the state before is left
	owed bool // see owes
	save Save
	err  error
}

// N is the number of the last batch in it.
func (p *PendingSave) N() uint64 { return p.disk.state.N }

// Urgent reports whether the replica can vote for no checkpoint before this state
// is durable. Any other one must wait until it is stable: should all replicas
// restart, one that is behind could else not get the last stable state from
// anybody, as all of them would have a later one only.
func (p *PendingSave) Urgent() bool { return p.full || p.owed }

// Commit makes the state durable. It waits for the disk: call it from another
// goroutine than the engine's, once. After an error the replica must halt: it may
// be one that came up while the state was gathered.
func (p *PendingSave) Commit() error {
	if p.err != nil {
		return p.err
	}
	if err := p.save.Commit(); err != nil {
		return fmt.Errorf("execution: save of the state at %d: %w", p.N(), err)
	}
	return nil
}

// TakeSave returns a state that is gathered and must be committed now, once; nil
// if there is none. When Commit has returned nil, call Saved.
func (e *Engine) TakeSave() *PendingSave {
	s := e.saver
	switch {
	case s == nil || s.taken:
		return nil
	case s.damage != nil:
		s.taken = true
		return &PendingSave{disk: s.disk, err: s.damage}
	case s.pending == nil:
		return nil
	}
	s.taken = true
	return s.pending
}

// Saved takes note that a state is durable.
func (e *Engine) Saved(p *PendingSave) {
	s := e.saver
	if p != s.pending {
		panic(fmt.Sprintf("execution: state %d is durable, and not the one that was to be (a bug: please report it)", p.N()))
	}
	s.pending, s.taken = nil, false
	s.disk = p.disk
	for len(s.stray) > 0 && s.stray[0].Header.N <= p.N() {
		s.stray = s.stray[1:]
	}
	e.history.unsaved = p.N() + 1
	e.history.trim()
}

// SavedN is the last batch of the newest durable state, 0 if there is none: what
// lies above must be executed again after a restart.
func (e *Engine) SavedN() uint64 {
	if e.saver == nil {
		return 0
	}
	return e.saver.disk.state.N
}

// executed goes on beside a batch, at which state was ready. It returns what to
// report of it.
func (s *saver) executed(x *consensus.Exec, state *message.State) *message.State {
	s.bytes += batchOverhead
	if x.Batch != nil {
		s.bytes += len(x.Batch.Body)
	}
	switch {
	case s.now != nil:
		s.gather(s.now.piece)
	case x.Checkpoint && s.pending == nil && s.due(x.N):
		s.begin(&s.e.underway.checkpoint, false)
	}
	return s.report(state)
}

// due reports whether the state at n, a checkpoint, should be saved.
func (s *saver) due(n uint64) bool {
	bytes, batches := s.e.cfg.saveBytes(), saveBatches
	bytes -= bytes * s.early / turns
	batches -= batches * s.early / turns
	return s.bytes >= bytes || n-s.began >= uint64(batches) || s.owed > s.disk.state.N
}

// advance goes on when there is no batch. A digest goes before.
func (s *saver) advance(digesting bool, state *message.State) *message.State {
	if s.now != nil && !digesting {
		s.gather(spareUnits)
	}
	return s.report(state)
}

// owes reports whether the disk has no state from which this replica could get
// to its present one: another replica's took the place of the own one, or was to
// (OweSave), and no save of it is durable. A checkpoint vote promises that this
// disk alone can give the state back; so until then no checkpoint is reported.
func (s *saver) owes() bool {
	return s.now != nil && s.now.full || s.pending != nil && s.pending.full || s.owed > s.disk.state.N
}

// OweSave says that the log up to n may go, while the state on disk is older: one
// at n is being fetched. Should the batches come sooner, the next checkpoint is
// saved, and nothing is reported before.
func (e *Engine) OweSave(n uint64) {
	if e.saver != nil {
		e.saver.owed = max(e.saver.owed, n)
	}
}

// report passes on a checkpoint's state, or one that was withheld: one at a time,
// the oldest first.
func (s *saver) report(state *message.State) *message.State {
	if len(s.withheld) == 0 && !s.owes() {
		return state
	}
	if state != nil {
		s.withheld = append(s.withheld, state)
	}
	if s.owes() || len(s.withheld) == 0 {
		return nil
	}
	state = s.withheld[0]
	s.withheld = s.withheld[1:]
	return state
}

// busy reports whether there is something to do beside batches.
func (s *saver) busy() bool {
	return s.now != nil && s.pending == nil || len(s.withheld) > 0 && !s.owes()
}

// replaced begins to save a state that took the place of the own one.
func (s *saver) replaced(c *checkpoint) {
	s.withheld = nil
	s.begin(c, true)
}

// giveUp drops the save that is being gathered: its state is given up. Batches
// that only the history in memory has, which goes too, are kept for the next one.
func (s *saver) giveUp() {
	from := s.disk.state.N + 1
	if s.pending != nil {
		from = s.pending.N() + 1
	}
	s.stray = append(s.stray, s.e.history.from(from)...)
	if s.now != nil {
		s.bytes += s.now.bytes
		s.now.abort()
		s.now = nil
	}
}

func (c *Config) saveBytes() int {
	if c.SaveBytes == 0 {
		return defaultSaveBytes
	}
	return c.SaveBytes
}

func (c *Config) historyKeep() int64 {
	if c.HistoryKeep == 0 {
		return defaultHistoryKeep
	}
	return c.HistoryKeep
}
