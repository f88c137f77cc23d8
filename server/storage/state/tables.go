package state

import (
	"errors"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/pbft-go/pbft/server/storage/file"
)

// tableFS is the operating system's file system, on which tables are written past
// the page cache, and with pauses. A goroutine that writes and writes, each time
// for less than Go's monitor takes to notice, keeps its processor to itself: with
// GOMAXPROCS=1 the replica beside it stood still for 150 ms at each save.
type tableFS struct {
	vfs.FS
	disk *file.Disk
}

// osFS is the operating system's file system.
func osFS() vfs.FS { return tableFS{vfs.Default, file.OS()} }

const (
	tableExt = ".sst"

	paceBytes = 64 << 10 // taken between two pauses
	pace      = 100 * time.Microsecond
)

// Create implements vfs.FS.
func (t tableFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := t.FS.Create(name, category)
	if err != nil || filepath.Ext(name) != tableExt {
		return f, err
	}
	s, err := t.disk.Stream(name)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &tableFile{File: f, stream: s}, nil
}

// tableFile is a table that is being written, by one goroutine.
type tableFile struct {
	vfs.File
	stream *file.Stream
	since  int // bytes since the last pause
}

// Write implements vfs.File.
func (f *tableFile) Write(b []byte) (int, error) {
	n, err := f.stream.Write(b)
	if f.since += n; f.since >= paceBytes {
		f.since = 0
		time.Sleep(pace)
	}
	return n, err
}

// Sync implements vfs.File.
func (f *tableFile) Sync() error { return errors.Join(f.stream.Flush(), f.File.Sync()) }

// SyncData implements vfs.File.
func (f *tableFile) SyncData() error { return errors.Join(f.stream.Flush(), f.File.SyncData()) }

// Close implements vfs.File.
func (f *tableFile) Close() error {
	return errors.Join(f.stream.Flush(), f.stream.Close(), f.File.Close())
}
