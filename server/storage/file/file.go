// Package file is what durable storage needs of a file system. OS is the
// operating system's; package crashfs simulates one that loses power.
package file

import "errors"

// Block is the unit of writing, in bytes. What one WriteSync has made durable
// no later one of other blocks touches, so that a write which is torn by a loss
// of power damages nothing but itself.
const Block = 4096

// FS is a file system as the log sees it. Names are paths. A change of a
// directory (Create, Rename, Remove) survives a crash once SyncDir has returned.
type FS interface {
	MkdirAll(dir string) error
	// List gives the names of the files in dir, sorted.
	List(dir string) ([]string, error)
	// Create makes a file of size bytes, all of them zero, written out and
	// synced, so that later writes into it change no metadata. It fails if the
	// file is there. pace may be nil, and slows it down otherwise: it is called
	// now and then with the bytes written so far.
	Create(name string, size int64, pace func(written int64)) (File, error)
	Open(name string) (File, error) // to read and to write
	Rename(old, new string) error   // replaces new
	Remove(name string) error
	SyncDir(dir string) error
}

// File is an open file. One goroutine uses it.
type File interface {
	Size() (int64, error)
	// ReadAt is io.ReaderAt's.
	ReadAt(b []byte, off int64) (int, error)
	// WriteSync writes b at off, and returns once the bytes survive a loss of
	// power. off and the length are multiples of Block, the file does not grow,
	// and b begins a multiple of Block into a buffer of Aligned. Until it returns
	// b must not change. After an error nothing is known about what the file holds
	// there: the caller must not try again.
	WriteSync(b []byte, off int64) error
	Close() error
}

// ErrReadOnly is the error of changes through a file system that was opened to
// look only.
var ErrReadOnly = errors.New("the file system is open for reading only")
