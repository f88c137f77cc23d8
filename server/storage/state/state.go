// Package state keeps sorted keys with values on disk: the application's state,
// the client table and the history, which package execution lays out. It is a
// thin house around Pebble. All that changes comes as a Save, which takes effect
// as a whole, or not at all.
//
// The first byte of a key is its table. Tables are written apart from each
// other.
package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options say where a DB is and how it behaves. Dir is required.
type Options struct {
	FS       vfs.FS // nil: the operating system's
	Dir      string // made if it is not there
	ReadOnly bool   // look only; the directory must hold a DB, which nobody has open
	Small    bool   // little memory and small files, for simulations

	Logger *slog.Logger // gets Pebble's own messages, at level debug; nil: nobody does

	// Failed gets every error that no caller sees: those of background work,
	// and damage found by it; and damage that a reader found, too. What a
	// later call says is then worth nothing: the replica must halt. It is called
	// from any goroutine, and may be called more than once. nil: nobody is told.
	Failed func(error)
}

// DB is an open database. Its methods may be called from any goroutine, those of
// one Save from one at a time.
type DB struct {
	o      Options
	fs     vfs.FS
	pebble *pebble.DB
	tables sstable.WriterOptions
	dead   chan struct{} // closed when Pebble cannot go on
	spare  chan []byte   // buffers of saves

	mu    sync.Mutex
	saves uint64 // made so far, for the names of their files
	open  *Save  // not committed and not aborted, or nil
	once  sync.Once
}

// saveDir is where the files of an unfinished save are.
const saveDir = "save"

// Open opens the database in a directory, and makes both if they are not there.
// What an unfinished save left is removed. It fails if another process has it
// open; with ReadOnly, an error that is fs.ErrNotExist says that there is none.
func Open(o Options) (*DB, error) {
	d := &DB{o: o, fs: o.FS, dead: make(chan struct{}), spare: make(chan []byte, queued)}
	if d.fs == nil {
		d.fs = osFS()
	}
	if o.ReadOnly {
		if desc, err := pebble.Peek(o.Dir, d.fs); err != nil || !desc.Exists {
			return nil, fmt.Errorf("state: there is no database in %s: %w", o.Dir, errors.Join(fs.ErrNotExist, err))
		}
	}
	po := d.options()
	if err := d.guard(func() (err error) {
		d.pebble, err = pebble.Open(o.Dir, po)
		return err
	}); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	if !o.ReadOnly {
		if err := d.clean(); err != nil {
			return nil, errors.Join(fmt.Errorf("state: %w", err), d.Close())
		}
	}
	d.tables = po.MakeWriterOptions(0, d.pebble.TableFormat())
	d.tables.Compression = sstable.NoCompression // a save competes with batches; what is merged later is compressed
	return d, nil
}

// errDead says that Pebble met an error and does not go on.
var errDead = errors.New("an error that was reported before ended the database")

// guard calls f, in which Pebble's goroutine may come to its end: see Fatalf.
func (d *DB) guard(f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-d.dead:
		return errDead
	}
}

// clean removes what an unfinished save left.
func (d *DB) clean() error {
	dir := d.fs.PathJoin(d.o.Dir, saveDir)
	if err := d.fs.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	names, err := d.fs.List(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := d.fs.Remove(d.fs.PathJoin(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// Get reads one key. The value is a copy.
func (d *DB) Get(key []byte) (value []byte, ok bool, err error) {
	v, closer, err := d.pebble.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, d.fail(fmt.Errorf("state: read of %x: %w", key, err))
	}
	value = slices.Clone(v)
	if err := closer.Close(); err != nil {
		return nil, false, d.fail(fmt.Errorf("state: read of %x: %w", key, err))
	}
	return value, true, nil
}

// Scan calls f for every key in [from, to), in order, as they are now. Key and
// value are valid until f returns; what it returns ends the scan and is returned.
func (d *DB) Scan(from, to []byte, f func(key, value []byte) error) (err error) {
	it, err := d.pebble.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return d.fail(fmt.Errorf("state: scan from %x: %w", from, err))
	}
	defer func() {
		if closing := it.Close(); closing != nil && err == nil {
			err = d.fail(fmt.Errorf("state: scan from %x: %w", from, closing))
		}
	}()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return d.fail(fmt.Errorf("state: scan, at %x: %w", it.Key(), err))
		}
		if err := f(it.Key(), value); err != nil {
			return err
		}
	}
	return nil // Close has the iterator's error
}

// Close closes the database, which nobody may be using. A save that is under way
// is dropped.
func (d *DB) Close() error {
	d.mu.Lock()
	open := d.open
	d.mu.Unlock()
	if open != nil {
		open.Abort()
	}
	select {
	case <-d.dead:
		return nil // Pebble's locks are not free any more
	default:
	}
	if err := d.pebble.Close(); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return nil
}

// fail tells the host of an error and returns it.
func (d *DB) fail(err error) error {
	if d.o.Failed != nil {
		d.o.Failed(err)
	}
	return err
}

// discard logs nothing.
var discard = slog.New(slog.DiscardHandler)

// logger takes what Pebble logs.
type logger struct {
	log *slog.Logger
	d   *DB
}

// Infof and Errorf implement pebble.Logger.
func (l *logger) Infof(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("pebble: " + fmt.Sprintf(format, args...))
	}
}

// Errorf logs what Pebble can live with.
func (l *logger) Errorf(format string, args ...any) { l.Infof(format, args...) }

// Fatalf must not return: Pebble calls it where it cannot go on, as when a write
// to its manifest fails. The host is told; the goroutine stays here, with the
// locks that it holds.
func (l *logger) Fatalf(format string, args ...any) {
	_ = l.d.fail(fmt.Errorf("state: pebble cannot go on: "+format, args...))
	l.d.once.Do(func() { close(l.d.dead) })
	select {}
}
