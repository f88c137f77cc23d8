package crashfs

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// Sector is what a device writes whole or not at all, in bytes.
const Sector = 512

// Power says how what was undecided comes out when power fails.
type Power struct {
	// Kept tells whether a change of a directory, one that was not synced, has
	// survived. Nil: none has.
	Kept func(op Op) bool
	// Filled is the size of a file whose Create was under way, if its name has
	// survived. Nil: none of it.
	Filled func(op Op) int64
	// Cut makes old, what a write was to overwrite, what is there now; fresh is
	// what it was to bring. Nil: nothing of it has happened.
	Cut func(op Op, old, fresh []byte)
}

// Everything has happened that could have.
func Everything() Power {
	return Power{
		Kept:   func(Op) bool { return true },
		Filled: func(op Op) int64 { return op.Size },
		Cut:    func(_ Op, old, fresh []byte) { copy(old, fresh) },
	}
}

// Prefix keeps changes of directories if kept is set, and the first n bytes of
// writes and new files.
func Prefix(kept bool, n int) Power {
	return Power{
		Kept:   func(Op) bool { return kept },
		Filled: func(op Op) int64 { return min(op.Size, int64(n)) },
		Cut:    func(_ Op, old, fresh []byte) { copy(old, fresh[:min(n, len(fresh))]) },
	}
}

// Random tosses a coin for each change of a directory and for each sector of a
// write; one write in four is a prefix instead.
func Random(r *rand.Rand) Power {
	return Power{
		Kept:   func(Op) bool { return r.IntN(2) == 0 },
		Filled: func(op Op) int64 { return r.Int64N(op.Size + 1) },
		Cut: func(_ Op, old, fresh []byte) {
			if r.IntN(4) == 0 {
				copy(old, fresh[:r.IntN(len(fresh)+1)])
				return
			}
			for at := 0; at < len(fresh); at += Sector {
				if r.IntN(2) == 0 {
					copy(old[at:], fresh[at:at+Sector])
				}
			}
		},
	}
}

// Crash is the disk as the next start finds it after a loss of power. d and its
// open files are dead from here on. The new disk has no OnOp.
func (d *Disk) Crash(p Power) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = true
	for i := range d.pending {
		p.settle(&d.pending[i])
	}
	after := &Disk{dirs: d.dirs, undo: d.undo, Undo: d.Undo}
	for _, name := range sortedKeys(d.dirs) {
		in := after.dirs[name]
		for i := range in.changes {
			if c := &in.changes[i]; p.Kept != nil && p.Kept(c.op) {
				c.apply(in.durable)
			}
		}
		in.changes = nil
		in.now = maps.Clone(in.durable)
	}
	d.dirs, d.pending, d.undo = nil, nil, nil
	return after
}

// settle decides a write, or a creation, that has no end.
func (p *Power) settle(w *written) {
	if w.op.Kind == Create {
		size := int64(0)
		if p.Filled != nil {
			size = p.Filled(w.op)
		}
		w.node.data = w.node.data[:size:size]
		return
	}
	at := w.node.own()[w.op.Off:][:w.op.Size]
	if w.below != nil {
		copy(at, w.below)
	}
	if p.Cut != nil {
		p.Cut(w.op, at, w.data)
	}
}

// Kill is the disk as the next start finds it after the process died, and power
// did not fail. What was under way comes out as p says, and is seen; but it stays
// undecided what of it survives a crash that comes later. So do changes of
// directories that were not synced, all of which are seen. d and its open files
// are dead from here on. The new disk has no OnOp.
func (d *Disk) Kill(p Power) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = true
	after := &Disk{dirs: d.dirs, undo: d.undo, Undo: d.Undo}
	for i := range d.pending {
		w := &d.pending[i]
		if w.op.Kind == Create {
			p.settle(w)
			continue
		}
		below := w.below
		if below == nil {
			below = slices.Clone(w.node.data[w.op.Off:][:w.op.Size])
			p.settle(w)
		}
		seen := slices.Clone(w.node.data[w.op.Off:][:w.op.Size])
		after.pending = append(after.pending, written{op: w.op, node: w.node, data: seen, below: below})
	}
	for _, name := range sortedKeys(after.dirs) {
		in := after.dirs[name]
		in.changes = slices.DeleteFunc(in.changes, func(c change) bool {
			return c.undone && (p.Kept == nil || !p.Kept(c.op))
		})
		for i := range in.changes {
			if c := &in.changes[i]; c.undone {
				c.undone = false
				c.apply(in.now)
			}
		}
	}
	d.dirs, d.pending, d.undo = nil, nil, nil
	return after
}
