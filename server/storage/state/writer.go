package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/objstorage"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// writer writes the files of a save.
type writer struct {
	d       *DB
	id      uint64
	tables  [256]*table
	paths   []string
	err     failure
	dropped atomic.Bool   // nobody wants the files any more
	ended   chan struct{} // closed by run
}

// table writes one table. A range to delete is open until a key behind it comes,
// or its file ends.
type table struct {
	w        *sstable.Writer // nil: no file is begun
	size     int             // of the file
	last     []byte          // key, or the beginning of a range
	ranged   bool            // it is the latter: the key may follow
	from, to []byte          // the open range; to nil: none
}

func newWriter(d *DB, id uint64) *writer { return &writer{d: d, id: id, ended: make(chan struct{})} }

func (w *writer) failed() error { return w.err.get() }

// run takes changes until there are no more, and ends the files.
func (w *writer) run(work <-chan []byte) {
	defer close(w.ended)
	for buf := range work {
		if w.failed() == nil && !w.dropped.Load() {
			w.err.set(w.apply(buf))
		}
		if cap(buf) <= 2*handful {
			select {
			case w.d.spare <- buf[:0]:
			default:
			}
		}
	}
	for _, t := range w.tables {
		if t != nil && t.w != nil && w.failed() == nil && !w.dropped.Load() {
			w.err.set(w.finish(t, nil))
		}
	}
}

// apply makes the changes in a buffer.
func (w *writer) apply(buf []byte) error {
	for len(buf) > 0 {
		op := buf[0]
		k := 9 + int(binary.LittleEndian.Uint32(buf[1:]))
		v := k + int(binary.LittleEndian.Uint32(buf[5:]))
		if err := w.change(op, buf[9:k:k], buf[k:v:v]); err != nil {
			return err
		}
		buf = buf[v:]
	}
	return nil
}

func (w *writer) change(op byte, key, value []byte) error {
	if op == opCut {
		if t := w.tables[key[0]]; t != nil && t.w != nil {
			return w.finish(t, nil)
		}
		return nil
	}
	t, err := w.at(key)
	if err != nil {
		return err
	}
	t.ranged = op == opDeleteRange
	t.size += len(key) + len(value) + 8
	switch op {
	case opPut:
		err = t.w.Set(key, value)
	case opDelete:
		err = t.w.Delete(key)
	case opDeleteRange:
		if t.to != nil {
			return fmt.Errorf("state: range from %x to %x reaches into the one from %x", t.from, t.to, key)
		}
		t.from, t.to = slices.Clone(key), slices.Clone(value)
	}
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return nil
}

// at readies the table for a key, which must be above the last one.
func (w *writer) at(key []byte) (*table, error) {
	t := w.tables[key[0]]
	if t == nil {
		t = &table{}
		w.tables[key[0]] = t
	}
	if order := bytes.Compare(key, t.last); t.last != nil && (order < 0 || order == 0 && !t.ranged) {
		return nil, fmt.Errorf("state: key %x after %x: keys of a table must rise", key, t.last)
	}
	if t.to != nil && bytes.Compare(key, t.to) >= 0 {
		if err := t.closeRange(t.to); err != nil {
			return nil, err
		}
	}
	if t.w != nil && t.size >= w.d.fileLimit() {
		if err := w.finish(t, key); err != nil {
			return nil, err
		}
	}
	if t.w == nil {
		if err := w.begin(t); err != nil {
			return nil, err
		}
	}
	t.last = append(t.last[:0], key...)
	return t, nil
}

// closeRange writes the open range up to a key. What lies behind stays open.
func (t *table) closeRange(to []byte) error {
	if err := t.w.DeleteRange(t.from, to); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	if bytes.Equal(to, t.to) {
		t.from, t.to = nil, nil
	} else {
		t.from = slices.Clone(to)
	}
	return nil
}

// syncEvery is how many bytes are handed to the disk at once while a file is
// written, so that its end has little left to wait for, and the log beside it
// does not wait for all of it.
const syncEvery = 512 << 10

func (w *writer) begin(t *table) error {
	path := w.d.fs.PathJoin(w.d.o.Dir, saveDir, fmt.Sprintf("%d-%d%s", w.id, len(w.paths), tableExt))
	f, err := w.d.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	w.paths = append(w.paths, path)
	f = vfs.NewSyncingFile(f, vfs.SyncingFileOptions{BytesPerSync: syncEvery})
	t.w, t.size = sstable.NewWriter(&saveFile{objstorageprovider.NewFileWritable(f), w}, w.d.tables), 0
	return nil
}

// saveFile is a file that need not be written to its end.
type saveFile struct {
	objstorage.Writable
	w *writer
}

var errDropped = errors.New("state: the save was dropped")

// Write implements objstorage.Writable.
func (f *saveFile) Write(b []byte) error {
	if f.w.dropped.Load() {
		return errDropped
	}
	return f.Writable.Write(b)
}

// finish ends a table's file, and syncs it; next is the key with which it will
// go on, or nil.
func (w *writer) finish(t *table, next []byte) error {
	if t.to != nil {
		to := t.to
		if next != nil {
			to = next
		}
		if err := t.closeRange(to); err != nil {
			return err
		}
	}
	sst := t.w
	t.w = nil
	if err := sst.Close(); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return nil
}

// drop removes the files. run has ended.
func (w *writer) drop() {
	w.dropped.Store(true)
	for _, t := range w.tables {
		if t != nil && t.w != nil {
			_ = t.w.Close() // an error: see saveFile
			t.w = nil
		}
	}
	for _, path := range w.paths {
		_ = w.d.fs.Remove(path) // Open removes it otherwise
	}
}
