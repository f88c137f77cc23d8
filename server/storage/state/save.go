package state

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
)

// Changes are the methods of a Save. It is an alias: whoever asks for a database
// by an interface of its own can name these methods, and need not import this
// package.
type Changes = interface {
	Put(key, value []byte) error
	Delete(key []byte) error
	DeleteRange(from, to []byte) error
	Cut(key []byte) error
	Behind() bool
	Commit() error
	Abort()
}

// Save gathers changes and makes all of them at once. Within a table keys come
// strictly rising; tables may come by turns. An error of one of its methods, or
// of the writing behind them, is that of all later ones: Abort is what is left.
//
// Each table goes into files of its own, in Pebble's format for ready sorted
// tables, which Commit hands over as a whole. So a save costs neither a memtable
// nor a log. Files are written by a goroutine of the save's own (writer.go), so
// that who gathers waits for the disk only when it is far behind.
type Save struct {
	d    *DB
	buf  []byte      // changes that are not handed over
	work chan []byte // changes, some at a time
	w    *writer
	err  error // as far as known here
	done bool
}

const (
	// handful is how many bytes of changes are handed over at once.
	handful = 64 << 10
	// queued is how many of these may wait for the writer. When it is full, who
	// gathers waits; Behind says so before.
	queued = 128
)

// NewSave begins a save. There is one at a time.
func (d *DB) NewSave() (Changes, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.o.ReadOnly {
		return nil, errors.New("state: the database is open for reading only")
	}
	if d.open != nil {
		return nil, errors.New("state: another save is under way: commit or abort it first")
	}
	d.saves++
	s := &Save{d: d, work: make(chan []byte, queued), w: newWriter(d, d.saves)}
	d.open = s
	go s.w.run(s.work)
	return s, nil
}

// Put sets a key. Both are copied.
func (s *Save) Put(key, value []byte) error { return s.add(opPut, key, value) }

// Delete removes a key, if it is there.
func (s *Save) Delete(key []byte) error { return s.add(opDelete, key, nil) }

// DeleteRange removes the keys in [from, to), which is within one table, as they
// were before the save: what the save puts there later stays. Ranges rise and do
// not overlap.
func (s *Save) DeleteRange(from, to []byte) error {
	if bytes.Compare(from, to) >= 0 || len(from) == 0 || from[0] != to[0] && (to[0] != from[0]+1 || len(to) > 1) {
		return s.fail(fmt.Errorf("state: range from %x to %x", from, to))
	}
	return s.add(opDeleteRange, from, to)
}

// Cut lets what comes next in the key's table begin a file. A file that reaches
// over keys far apart is merged with all that lies between.
func (s *Save) Cut(key []byte) error { return s.add(opCut, key, nil) }

// Behind reports whether so much waits for the writer that some MiB more might
// have to wait, too. A small database never says so: a simulation must not depend
// on it.
func (s *Save) Behind() bool { return !s.d.o.Small && len(s.work) > queued/2 }

// add notes a change.
func (s *Save) add(op byte, key, value []byte) error {
	if s.err == nil {
		s.err = s.w.failed()
	}
	switch {
	case s.err != nil:
		return s.err
	case s.done:
		return s.fail(errors.New("state: the save is over"))
	case len(key) == 0:
		return s.fail(errors.New("state: empty key"))
	}
	s.buf = append(s.buf, op)
	s.buf = binary.LittleEndian.AppendUint32(s.buf, uint32(len(key)))
	s.buf = binary.LittleEndian.AppendUint32(s.buf, uint32(len(value)))
	s.buf = append(append(s.buf, key...), value...)
	if len(s.buf) >= handful {
		s.hand()
	}
	return nil
}

// hand gives the writer what is noted, and takes an empty buffer.
func (s *Save) hand() {
	s.work <- s.buf
	select {
	case s.buf = <-s.d.spare:
	default:
		s.buf = make([]byte, 0, handful+handful/4)
	}
}

func (s *Save) fail(err error) error {
	if s.err == nil {
		s.err = err
	}
	return s.err
}

// Commit makes the changes. When it returns nil they survive a loss of power;
// whatever happens before, either all of them do or none. It waits for the disk,
// and may be called from another goroutine than the calls before.
func (s *Save) Commit() error {
	if s.done {
		return s.fail(errors.New("state: the save is over"))
	}
	if s.err == nil {
		s.end()
		s.err = s.w.failed()
	}
	if s.err != nil {
		s.Abort()
		return s.err
	}
	s.done = true
	defer s.leave()
	if len(s.w.paths) == 0 {
		return nil
	}
	// Pebble links the files into its directory, syncs that, and names all of
	// them in one record of its manifest, which it syncs.
	if err := s.d.guard(func() error { return s.d.pebble.Ingest(context.Background(), s.w.paths) }); err != nil {
		return s.fail(fmt.Errorf("state: %w", err))
	}
	return nil
}

// end waits for the writer, which ends and syncs its files, unless it is to drop
// them.
func (s *Save) end() {
	if s.work == nil {
		return
	}
	s.work <- s.buf
	close(s.work)
	s.work, s.buf = nil, nil
	<-s.w.ended
}

// Abort drops the save and its files. After Commit it does nothing.
func (s *Save) Abort() {
	if s.done {
		return
	}
	s.done = true
	s.w.dropped.Store(true)
	s.end()
	s.w.drop()
	s.leave()
}

func (s *Save) leave() {
	s.d.mu.Lock()
	if s.d.open == s {
		s.d.open = nil
	}
	s.d.mu.Unlock()
}

// Kinds of changes in a buffer.
const (
	opPut = iota
	opDelete
	opDeleteRange
	opCut
)

// failure is an error that one goroutine sets and others see.
type failure struct{ p atomic.Pointer[error] }

func (f *failure) set(err error) {
	if err != nil {
		f.p.CompareAndSwap(nil, &err)
	}
}

func (f *failure) get() error {
	if p := f.p.Load(); p != nil {
		return *p
	}
	return nil
}
