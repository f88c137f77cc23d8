package state

import (
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// paced is a file system on which tables are written with pauses. A goroutine
// that writes and writes, each time for less than Go's monitor takes to notice,
// keeps its processor to itself: with GOMAXPROCS=1 the replica beside it stood
// still for 150 ms at each save.
type paced struct{ vfs.FS }

const (
	paceBytes = 64 << 10 // written between two pauses: some 50 us
	pace      = 100 * time.Microsecond
)

// Create implements vfs.FS.
func (p paced) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := p.FS.Create(name, category)
	if err != nil || filepath.Ext(name) == ".log" {
		return f, err
	}
	return &pacedFile{File: f}, nil
}

// pacedFile is a file of it. One goroutine writes it.
type pacedFile struct {
	vfs.File
	written int
}

// Write implements vfs.File.
func (f *pacedFile) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	if f.written += n; f.written >= paceBytes {
		f.written = 0
		time.Sleep(pace)
	}
	return n, err
}
