// Package crashfs is a file system in memory that loses power where it is told
// to. It keeps what would survive apart from what merely happened, and Crash
// gives the disk as the next start may find it. Nothing in it is left to chance
// or time: what is undecided when power fails, the caller decides.
//
// Content is durable or gone: a WriteSync that returned survives. One that was
// under way, or that failed, comes out as Power.Cut says. Changes of a directory
// since the last SyncDir survive one by one, as Power.Kept says.
package crashfs

import (
	"errors"
	"fmt"
)

// ErrCrash is what Disk.OnOp returns to make power fail while an operation is
// under way, and the error of that operation and of all later ones.
var ErrCrash = errors.New("the simulated disk has lost power")

// Kind is a kind of operation that changes the disk.
type Kind uint8

// The operations.
const (
	Create Kind = iota + 1
	Write
	Rename
	Remove
	SyncDir
)

// Op is an operation that is about to change the disk. MkdirAll is none: it
// cannot fail here, and what it made is durable.
type Op struct {
	Kind Kind
	Name string // a path, clean; the directory of SyncDir
	To   string // Rename: the new path
	Off  int64  // Write: where
	Size int64  // Write: bytes; Create: the size of the file
}

// String tells the operation as errors and logs do.
func (o Op) String() string {
	switch o.Kind {
	case Create:
		return fmt.Sprintf("create %s of %d bytes", o.Name, o.Size)
	case Write:
		return fmt.Sprintf("write %d bytes at %d of %s", o.Size, o.Off, o.Name)
	case Rename:
		return fmt.Sprintf("rename %s to %s", o.Name, o.To)
	case Remove:
		return "remove " + o.Name
	case SyncDir:
		return "sync the directory " + o.Name
	default:
		return fmt.Sprintf("operation %d on %s", o.Kind, o.Name)
	}
}
