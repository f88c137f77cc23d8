package storage

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/storage/wal"
)

// log is what a Writer writes to.
type log interface {
	Append(records []consensus.Record) error
	Release(n uint64) error
	Ahead() *wal.Ahead
	Adopt(a *wal.Ahead) error
	Close() error
}

// maxAppend is how many bytes of bodies go into one append, or one body alone.
const maxAppend = 4 << 20

// WriterOptions say what a Writer tells its owner, from its own goroutine.
type WriterOptions struct {
	Durable func(consensus.PersistID) // all records up to it survive a crash
	Failed  func(error)               // the disk failed: nothing of this turn may leave, and nothing ever after
	Synced  func(took time.Duration)  // an append
}

// Writer makes records durable: what gathered while one append was on its way
// goes into the next one, so that many turns share one sync. It lets the log
// forget what neither the state nor the protocol needs any more.
type Writer struct {
	o    WriterOptions
	log  log
	bell chan struct{}
	done chan struct{}

	mu      sync.Mutex
	records []consensus.Record
	k       consensus.PersistID // of the last ones
	urgent  bool                // a promise waits for them
	after   []later             // once these are durable
	saved   uint64              // the state on disk
	behind  uint64              // the state at this number comes from others, if the one on disk is older
	closed  bool
	made    *wal.Ahead // a segment that is ready

	// The goroutine's own.
	stable   uint64 // the last durable proof of a low watermark
	voted    uint64 // the highest own vote for a checkpoint, as far as one may have left
	released uint64
	waiting  []later
	making   bool // a segment is being made
	helper   sync.WaitGroup
}

// NewWriter starts to write to l. The state on disk is the one at saved; where
// the log leaves the replica is at.
func NewWriter(l log, saved uint64, at consensus.Position, o WriterOptions) *Writer {
	w := &Writer{
		o: o, log: l, bell: make(chan struct{}, 1), done: make(chan struct{}),
		saved: saved, stable: at.LowWatermark, voted: at.Voted,
	}
	go w.run()
	return w
}

// Persist hands over batch k of records. It does not wait, and keeps nothing of
// the slice. What waits is bounded by the core: it promises nothing more until
// earlier promises are durable.
//
// Records on which no promise rests by itself wait for the next one, so that a
// batch costs two syncs, not three.
func (w *Writer) Persist(k consensus.PersistID, records []consensus.Record) {
	w.mu.Lock()
	w.records = append(w.records, records...)
	w.k = k
	for i := range records {
		w.urgent = w.urgent || !lazy(&records[i])
	}
	urgent := w.urgent || len(w.records) >= maxLazy
	w.mu.Unlock()
	if urgent {
		w.ring()
	}
}

// maxLazy is how many records may wait for a promise.
const maxLazy = 256

// lazy reports whether a record may be forgotten in a crash unless a later one
// rests on it: others tell it again. A body is large, so it does not wait.
func lazy(r *consensus.Record) bool {
	return r.Kind == consensus.RecCommitted || r.Kind == consensus.RecSeen
}

// later is something to do when the checkpoint at n is stable.
type later struct {
	n uint64
	f func()
}

// After calls f on a goroutine of its own once everything that was handed over
// before is durable, and the checkpoint at n is stable; n may be 0. What waits
// when the Writer is closed is not called.
func (w *Writer) After(n uint64, f func()) {
	w.mu.Lock()
	w.after = append(w.after, later{n, f})
	w.mu.Unlock()
	w.ring()
}

// Saved says that the state at n is on disk: with it go what led there.
func (w *Writer) Saved(n uint64) {
	w.mu.Lock()
	w.saved = max(w.saved, n)
	w.mu.Unlock()
	w.ring()
}

// Behind says that the state at n, which is stable, is being fetched and takes the
// place of the one on disk: the log up to there leads nowhere, unless an own vote
// for a checkpoint rests on it. Until a state at n or above is saved no checkpoint
// may be voted for.
func (w *Writer) Behind(n uint64) {
	w.mu.Lock()
	w.behind = max(w.behind, n)
	w.mu.Unlock()
	w.ring()
}

// Close writes what waits, and closes the log.
func (w *Writer) Close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.ring()
	<-w.done
}

func (w *Writer) ring() {
	select {
	case w.bell <- struct{}{}:
	default:
	}
}

func (w *Writer) run() {
	defer close(w.done)
	var spare []consensus.Record
	for range w.bell {
		w.mu.Lock()
		records, k, after := w.records, w.k, w.after
		w.records, w.after, w.urgent = spare[:0], nil, false
		saved, behind, closed := w.saved, w.behind, w.closed
		made := w.made
		w.made = nil
		w.mu.Unlock()
		err := w.write(records, k, saved, behind)
		if err == nil {
			err = w.prepare(made, closed)
		}
		if err != nil {
			w.o.Failed(err)
			w.helper.Wait()
			_ = w.log.Close() // what is wrong was said
			return
		}
		w.waiting = slices.DeleteFunc(append(w.waiting, after...), func(x later) bool {
			if x.n > w.stable {
				return false
			}
			go x.f()
			return true
		})
		clear(records)
		spare = records
		if closed {
			w.helper.Wait()
			if err := w.log.Close(); err != nil {
				w.o.Failed(err)
			}
			return
		}
	}
}

// write makes records durable, tells so, and forgets what can be forgotten.
func (w *Writer) write(records []consensus.Record, k consensus.PersistID, saved, behind uint64) error {
	for rest := records; len(rest) > 0; {
		n := share(rest)
		began := time.Now()
		if err := w.log.Append(rest[:n]); err != nil {
			return fmt.Errorf("the log of promises: %w", err)
		}
		w.o.Synced(time.Since(began))
		for i := range rest[:n] {
			switch r := &rest[i]; r.Kind {
			case consensus.RecStable:
				w.stable = max(w.stable, r.N)
			case consensus.RecCheckpoint:
				w.voted = max(w.voted, r.N)
			}
		}
		rest = rest[n:]
	}
	if len(records) > 0 {
		w.o.Durable(k)
	}
	floor := min(w.stable, saved)
	if behind > w.voted {
		// Who voted for the state at behind, which is not this replica, can give
		// it back, and so nobody needs an older one.
		floor = max(floor, min(w.stable, behind))
	}
	if floor > w.released {
		w.released = floor
		if err := w.log.Release(floor); err != nil {
			return fmt.Errorf("the log of promises: %w", err)
		}
	}
	return nil
}

// prepare makes the next segment of the log before it is needed, beside the
// appends: writing it takes as long as hundreds of them.
func (w *Writer) prepare(made *wal.Ahead, closed bool) error {
	if made != nil {
		w.making = false
		if err := w.log.Adopt(made); err != nil {
			return fmt.Errorf("the log of promises: %w", err)
		}
	}
	a := w.log.Ahead()
	if a == nil || w.making || closed {
		return nil
	}
	w.making = true
	w.helper.Go(func() {
		a.Make()
		w.mu.Lock()
		w.made = a
		w.mu.Unlock()
		w.ring()
	})
	return nil
}

// share is how many of the records go into one append.
func share(records []consensus.Record) int {
	bytes := 0
	for i := range records {
		if b := records[i].Batch; b != nil {
			if bytes += len(b.Body); bytes > maxAppend && i > 0 {
				return i
			}
		}
	}
	return len(records)
}
