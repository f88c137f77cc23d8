package state

// Metrics are sizes and counts for operators.
type Metrics struct {
	DiskBytes      uint64 // files, those that wait for deletion too
	Files          int
	Saves          uint64 // committed since Open
	CompactedBytes uint64 // written by compactions since Open
	Debt           uint64 // bytes that compactions have before them, roughly
	ReadAmp        int    // files that a read may look at
}

// Metrics tells how the database is doing.
func (d *DB) Metrics() Metrics {
	p := d.pebble.Metrics()
	m := Metrics{DiskBytes: p.DiskSpaceUsage(), Saves: p.Ingest.Count, Debt: p.Compact.EstimatedDebt, ReadAmp: p.ReadAmp()}
	for i := range p.Levels {
		m.Files += int(p.Levels[i].TablesCount)
		m.CompactedBytes += p.Levels[i].TableBytesCompacted
	}
	return m
}

// DiskUsage is how many bytes the database takes on disk.
func (d *DB) DiskUsage() uint64 { return d.pebble.Metrics().DiskSpaceUsage() }
