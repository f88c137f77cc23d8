package execution

import (
	"fmt"
	"slices"
)

// Gathering a state takes as long as hundreds of batches when much of it has
// changed. So it goes on in pieces beside the batches that follow, like the
// digest (checkpoint.go), and reads the same snapshot, which is held meanwhile.

// save is a state that is being gathered.
type save struct {
	from  checkpoint // what it is of, with a hold of its own
	disk  position   // that it makes
	full  bool       // the disk has another state: all of this one is written
	bytes int        // executed for it

	out   Save // nil: gathering has not begun
	err   error
	piece int // units of work beside each batch

	buckets bitset // to write
	at      int    // bucket to go on with
	clients []clientSave
	entries [2][]*LogEntry // of the history
}

// scratch is memory that one save leaves to the next.
type scratch struct {
	key, value []byte
	bucket     image
	values     []longValue
}

// A unit of work is less than a microsecond: files are written by another
// goroutine.
const (
	leastUnits = 32      // in a piece
	spareUnits = 128     // in a piece when there is nothing else to do
	unitBytes  = 2 << 10 // written in a unit, beside what is counted
	mostPieces = 256     // so many batches at most go by until all is gathered

	hurriedPieces = 64 // while no checkpoint is reported: see owes
)

// begin begins to save the state of a checkpoint. Nothing else is being
// gathered. It is done when half as many batches have followed as went before.
func (s *saver) begin(c *checkpoint, full bool) {
	e := s.e
	w := &save{
		from: checkpoint{state: c.state, snapshot: c.snapshot.share(), frontier: c.frontier, clients: c.clients},
		full: full, bytes: s.bytes,
		buckets: slices.Clone(e.store.unsaved),
	}
	w.from.clients.held++
	w.clients = e.clients.unsaved(full)
	w.disk = position{executed: e.executed, window: uint64(e.cfg.ClientWindow), nextID: e.clients.nextID}
	clear(e.store.unsaved)
	pieces := min(int(c.state.N-s.began)/2, mostPieces)
	if full {
		for i := range e.store.buckets {
			w.buckets.set(i, !e.store.buckets[i].empty())
		}
	}
	if full || s.owes() {
		pieces = min(pieces, hurriedPieces)
	}
	work := w.buckets.count() + clientUnits*len(w.clients) + w.bytes/unitBytes
	w.piece = max(leastUnits, work/max(1, pieces))
	s.now, s.bytes, s.began, s.early = w, 0, c.state.N, 0
}

// gather does some units of work. When all is gathered the state is pending.
func (s *saver) gather(units int) {
	w := s.now
	if s.pending != nil {
		return // what is on disk is about to change
	}
	if w.out == nil && w.err == nil {
		w.err = s.open(w)
	}
	if w.err == nil && w.out.Behind() {
		return
	}
	for w.err == nil && units > 0 {
		did, err := s.step(w)
		if did == 0 && err == nil {
			break
		}
		units -= did
		w.err = err
	}
	if w.err == nil && (units <= 0 || s.e.underway != nil && s.e.underway.state == w.from.state) {
		return // there is more, or its digest is not complete
	}
	if w.err == nil {
		w.disk.state, w.disk.frontier = *w.from.state, w.from.frontier
		s.value = w.disk.append(s.value[:0], s.e.cfg.Cluster)
		w.err = w.out.Put([]byte{tablePosition}, s.value)
	}
	if w.err != nil {
		w.err = fmt.Errorf("execution: save of the state at %d: %w", w.from.state.N, w.err)
	}
	s.pending = &PendingSave{disk: w.disk, full: w.full, owed: s.owed > s.disk.state.N, save: w.out, err: w.err}
	w.let(s.e.clients)
	s.now = nil
}

// step does the next piece of work, and tells its units, 0 at the end.
func (s *saver) step(w *save) (units int, err error) {
	if i, ok := w.buckets.next(w.at); ok {
		w.at = i + 1
		return s.saveBucket(w, i)
	}
	if len(w.clients) > 0 {
		c := w.clients[0]
		w.clients = w.clients[1:]
		return s.saveClient(w, c)
	}
	for i := range w.entries {
		if list := w.entries[i]; len(list) > 0 {
			w.entries[i] = list[1:]
			return s.saveEntry(w, list[0])
		}
	}
	return 0, nil
}

// open makes the save at the store, and begins with what is to go from there.
func (s *saver) open(w *save) (err error) {
	if w.out, err = s.db.NewSave(); err != nil {
		return err
	}
	if w.full {
		for _, t := range []byte{tableBuckets, tableClients, tablePages, tableValues} {
			if err := w.out.DeleteRange([]byte{t}, []byte{t + 1}); err != nil {
				return err
			}
		}
		clear(s.large)
	}
	w.entries[0] = s.stray
	w.entries[1] = s.e.history.from(s.disk.state.N + 1)
	if last := int(w.from.state.N) - int(s.disk.state.N); !w.full {
		w.entries[1] = w.entries[1][:min(last, len(w.entries[1]))]
	} else {
		w.entries[1] = nil
	}
	return s.trimHistory(w)
}

// let ends the use of the snapshot.
func (w *save) let(t *clientTable) {
	w.from.snapshot.Release()
	t.release(w.from.clients)
}

// abort drops a save; the state that it belongs to is dropped, too.
func (w *save) abort() {
	if w.out != nil {
		w.out.Abort()
	}
}

// trimHistory decides what of the history stays on disk, and removes the rest.
func (s *saver) trimHistory(w *save) error {
	w.disk.history = append(w.disk.history, s.disk.history...)
	keep := s.e.cfg.historyKeep()
	w.disk.history = addSpan(w.disk.history, w.span(), keep)
	total := int64(0)
	for _, h := range w.disk.history {
		total += h.bytes
	}
	old := w.disk.history
	for keep >= 0 && total > keep && len(w.disk.history) > 1 {
		total -= w.disk.history[0].bytes
		w.disk.history = w.disk.history[1:]
	}
	if len(w.disk.history) == len(old) {
		return nil
	}
	for _, t := range []byte{tableHistory, tableBodies} {
		if err := w.out.DeleteRange(keyOf(nil, t, old[0].first), keyOf(nil, t, w.disk.history[0].first)); err != nil {
			return err
		}
		if err := w.out.Cut([]byte{t}); err != nil {
			return err
		}
	}
	return nil
}

// span is what the save adds to the history.
func (w *save) span() (h span) {
	for _, list := range w.entries {
		if len(list) == 0 {
			continue
		}
		if h.first == 0 {
			h.first = list[0].Header.N
		}
		h.last = list[len(list)-1].Header.N
	}
	h.bytes = int64(w.bytes)
	return h
}

// spans is into how many parts the history on disk is divided, at least, once
// it has its size: it is trimmed part by part.
const spans = 16

// addSpan adds to the list, or to its last part if that is small.
func addSpan(list []span, h span, keep int64) []span {
	if h.first == 0 {
		return list
	}
	if last := len(list) - 1; last >= 0 && (keep < 0 || list[last].bytes+h.bytes <= keep/spans) {
		list[last].last = h.last
		list[last].bytes += h.bytes
		return list
	}
	return append(list, h)
}

// saveEntry writes a batch of the history.
func (s *saver) saveEntry(w *save, x *LogEntry) (units int, err error) {
	s.key = keyOf(s.key, tableHistory, x.Header.N)
	s.value = appendEntry(s.value[:0], x)
	if err := w.out.Put(s.key, s.value); err != nil || x.batch == nil {
		return 1, err
	}
	s.key = keyOf(s.key, tableBodies, x.Header.N)
	return 1 + (len(s.value)+len(x.batch.Body))/unitBytes, w.out.Put(s.key, x.batch.Body)
}
