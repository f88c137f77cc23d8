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
	keep    Retention
	closed  bool
	made    *wal.Ahead // a segment that is ready

	// The goroutine's own.
	released uint64
	waiting  []later
	making   bool // a segment is being made
	helper   sync.WaitGroup
}

// NewWriter starts to write to l. The state on disk is the one at saved; where
// the log leaves the replica is at.
func NewWriter(l log, saved uint64, at consensus.Position, o WriterOptions) *Writer {
	w := &Writer{
		o: o, log: l, bell: make(chan struct{}, 1), done: make(chan struct{}), keep: NewRetention(saved, at),
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
	w.urgent = w.urgent || Urgent(records)
	urgent := w.urgent || len(w.records) >= MaxLazy
	w.mu.Unlock()
	if urgent {
		w.ring()
	}
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

// Saved is Retention's.
func (w *Writer) Saved(n uint64) {
	w.mu.Lock()
	w.keep.Saved(n)
	w.mu.Unlock()
	w.ring()
}

// Behind is Retention's.
func (w *Writer) Behind(n uint64) {
	w.mu.Lock()
	w.keep.Behind(n)
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
		made, closed := w.made, w.closed
		w.made = nil
		w.mu.Unlock()
		err := w.write(records, k)
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
			if !w.stable(x.n) {
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
func (w *Writer) write(records []consensus.Record, k consensus.PersistID) error {
	for rest := records; len(rest) > 0; {
		n := share(rest)
		began := time.Now()
		if err := w.log.Append(rest[:n]); err != nil {
			return fmt.Errorf("the log of promises: %w", err)
		}
		w.o.Synced(time.Since(began))
		rest = rest[n:]
	}
	if len(records) > 0 {
		w.o.Durable(k)
	}
	w.mu.Lock()
	w.keep.Durable(records)
	floor := w.keep.Floor()
	w.mu.Unlock()
	if floor > w.released {
		w.released = floor
		if err := w.log.Release(floor); err != nil {
			return fmt.Errorf("the log of promises: %w", err)
		}
	}
	return nil
}

func (w *Writer) stable(n uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.keep.Stable(n)
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
