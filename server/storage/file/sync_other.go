//go:build unix && !linux

package file

import "os"

const plainMethod = "fsync"

// syncData makes what was written to f survive a loss of power. On Darwin, Sync
// is F_FULLFSYNC, which flushes the device's cache as well.
func syncData(f *os.File) error { return f.Sync() }

// reserve is nothing here: the zeros take the place.
func reserve(*os.File, int64) error { return nil }
