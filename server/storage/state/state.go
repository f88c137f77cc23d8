// Package state keeps the application's state, the client table and the history
// on disk.
package state

import (
	_ "github.com/cockroachdb/pebble/v2"
	_ "github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	_ "github.com/cockroachdb/pebble/v2/sstable"
	_ "github.com/cockroachdb/pebble/v2/vfs"
	_ "golang.org/x/sys/unix"
)
