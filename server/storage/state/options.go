package state

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
)

const (
	// blockSize is how many bytes are read at once. A bucket of an application
	// with a million keys has 2 KiB, and most reads are scans of all.
	blockSize = 16 << 10

	// fileSize is where a table of a save goes on in another file; files of half
	// and more are moved down, not merged, if nothing is in their way.
	fileSize = 32 << 20

	// cacheSize is for the few reads between saves.
	cacheSize = 4 << 20
)

// sizes are what Small changes.
type sizes struct {
	memTable, cache, file int64
	block, files          int
	compression           *sstable.CompressionProfile
}

func (d *DB) sizes() sizes {
	if d.o.Small {
		// Pebble's smallest: a database of a simulation lives for a second, among
		// many.
		return sizes{memTable: 64 << 10, cache: 64 << 10, file: 256 << 10, block: 4 << 10, files: 64, compression: sstable.NoCompression}
	}
	return sizes{memTable: 256 << 10, cache: cacheSize, file: fileSize, block: blockSize, files: 500, compression: sstable.FastestCompression}
}

// fileLimit is where a table of a save goes on in another file.
func (d *DB) fileLimit() int { return int(d.sizes().file) }

// options are Pebble's. Nothing goes through its log or its memtables, so these
// are as small as can be. What is merged is compressed by the cheapest method; a
// save itself is not: that would cost 0.12 us a request of 64 bytes on four
// replicas, 3 % of all there is.
func (d *DB) options() *pebble.Options {
	z := d.sizes()
	log := d.o.Logger
	if log == nil {
		log = discard
	}
	o := &pebble.Options{
		FS: d.fs, ReadOnly: d.o.ReadOnly, FormatMajorVersion: pebble.FormatTableFormatV6,
		DisableWAL: true, MemTableSize: uint64(z.memTable), CacheSize: z.cache, MaxOpenFiles: z.files,
		CompactionConcurrencyRange: func() (int, int) { return 1, 1 },
		L0CompactionThreshold:      4,
		L0StopWritesThreshold:      1 << 10,
		LBaseMaxBytes:              2 * z.file,
		Logger:                     &logger{log: log, d: d},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { _ = d.fail(fmt.Errorf("state: in the background: %w", err)) },
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				_ = d.fail(fmt.Errorf("state: the disk is damaged: %s", info))
			},
		},
	}
	for i := range o.TargetFileSizes {
		o.TargetFileSizes[i] = z.file
	}
	for i := range o.Levels {
		o.Levels[i].BlockSize, o.Levels[i].IndexBlockSize = z.block, 256<<10
		o.Levels[i].Compression = func() *sstable.CompressionProfile { return z.compression }
	}
	o.EnsureDefaults()
	return o
}
