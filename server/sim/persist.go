package sim

import (
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/execution"
	"github.com/pbft-go/pbft/server/storage"
	"github.com/pbft-go/pbft/server/storage/wal"
)

// Records and states become durable as storage.Writer does it, with events
// instead of its goroutine: what gathers while one append is on its way goes into
// the next one; a state is committed once all that was handed over before is
// durable, and then the log lets go of what led to it.

// writing is what a replica has handed to its disk in this life.
type writing struct {
	records []consensus.Record // to write
	k       consensus.PersistID
	urgent  bool     // a promise waits for them
	after   []func() // once they are durable

	busy    bool // an append is on its way
	rung    bool // and another one is wanted
	batch   []consensus.Record
	batchK  consensus.PersistID
	waiting []func()

	gathered *execution.PendingSave // waits for its checkpoint to be stable, or nil
	commit   *execution.PendingSave // on its way, or nil
	keep     storage.Retention
	released uint64

	making *wal.Ahead // a segment that is being made before it is needed, or nil
	made   *wal.Ahead // one that is ready
}

// persist hands records over. It returns the batch that is durable already.
func (d *disk) persist(k consensus.PersistID, records []consensus.Record) consensus.PersistID {
	h := d.h
	d.records, d.k = append(d.records, records...), k
	d.urgent = d.urgent || storage.Urgent(records)
	atOnce := h.w.plan.Disk == 0 && d.slow == 1 && !d.busy
	urgent := d.urgent || len(d.records) >= storage.MaxLazy
	if urgent && atOnce {
		d.begin()
	}
	if !h.burn() || !urgent {
		return 0
	}
	if !atOnce {
		d.ring()
		return 0
	}
	return d.finish()
}

// ring lets the next append come.
func (d *disk) ring() {
	if d.busy {
		d.rung = true
		return
	}
	d.begin()
	d.h.later(d.time(), func() {
		if k := d.finish(); k > 0 && !d.h.down {
			d.h.put(item{input: consensus.Input{Kind: consensus.InDurable, K: k}})
		}
	})
}

// time draws how long the disk takes for something.
func (d *disk) time() int64 {
	return d.h.w.upTo(d.h.w.plan.Disk*d.h.slow*d.slow + (d.slow-1)*slowestDisk)
}

// slowestDisk is what a slow disk takes where a disk takes no time, in
// microseconds for each time that it is slower.
const slowestDisk = 500

// begin takes what waits for one append.
func (d *disk) begin() {
	d.busy, d.rung = true, false
	d.batch, d.batchK, d.waiting = d.records, d.k, d.after
	d.records, d.after, d.urgent = nil, nil, false
}

// finish ends an append. It returns the batch up to which all is durable now, 0:
// nothing more than before.
func (d *disk) finish() consensus.PersistID {
	k, err := d.write()
	if err != nil {
		d.h.diskFailed(err)
		return 0
	}
	for _, f := range d.waiting {
		f()
	}
	d.busy, d.batch, d.waiting = false, nil, nil
	d.saveStable()
	if d.rung {
		d.ring()
	}
	return k
}

// write appends the batch, and releases what can be released.
func (d *disk) write() (k consensus.PersistID, err error) {
	if len(d.batch) > 0 {
		if err := d.log.Append(d.batch); err != nil {
			return 0, err
		}
		k = d.batchK
		d.keep.Durable(d.batch)
	}
	if floor := d.keep.Floor(); floor > d.released {
		d.released = floor
		err = d.log.Release(floor)
	}
	if err == nil {
		err = d.prepare()
	}
	return k, err
}

// prepare lets the log have its next segment before it needs it.
func (d *disk) prepare() error {
	if a := d.made; a != nil {
		d.made = nil
		if err := d.log.Adopt(a); err != nil {
			return err
		}
	}
	if d.making != nil {
		return nil
	}
	if d.making = d.log.Ahead(); d.making != nil {
		d.h.later(d.time(), func() {
			d.making.Make()
			d.made, d.making = d.making, nil
			d.ring()
		})
	}
	return nil
}

// fetching notes that the state at n comes from others.
func (d *disk) fetching(n uint64) {
	d.keep.Behind(n)
	d.ring()
}

// takeSave commits a state that the engine has gathered.
func (h *host) takeSave() {
	if h.disk == nil || h.down {
		return
	}
	p := h.engine.TakeSave()
	if p == nil {
		return
	}
	h.disk.gathered = p
	h.disk.saveStable()
}

// saveStable commits the state that is gathered once all that was handed over so
// far is durable, if its checkpoint is stable. Before that it must not take the
// place of the older one: from a state above the low watermark nobody can go back
// to the one at the low watermark, which is what others need who are behind.
func (d *disk) saveStable() {
	p := d.gathered
	if p == nil || !d.keep.Stable(p.N()) && !p.Urgent() {
		return
	}
	d.gathered = nil
	d.after = append(d.after, func() {
		d.commit = p
		d.h.later(d.time(), func() { d.committed(p) })
	})
	d.ring()
}

// committed commits a state, which takes effect at once, and tells the engine.
func (d *disk) committed(p *execution.PendingSave) {
	h := d.h
	if h.power.inSave {
		h.crash()
		return
	}
	d.commit = nil
	if err := p.Commit(); err != nil {
		h.diskFailed(err)
		return
	}
	h.w.cover.add("states saved")
	h.w.check.saved(h, p.N())
	h.ask(func() {
		h.engine.Saved(p)
		d.keep.Saved(h.engine.SavedN())
		d.ring()
	})
}
