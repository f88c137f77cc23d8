package sim

import (
	"slices"
	"syscall"

	"github.com/pbft-go/pbft/server/consensus"
)

// startFaults lets the plan's faults happen when their time comes.
func (w *world) startFaults() {
	for i := range w.plan.Faults {
		f := &w.plan.Faults[i]
		w.at(f.At, func() {
			w.cover.add("fault: " + f.Kind.String())
			w.trace.line(w, "fault: %s", f)
			w.begin(f)
		})
		w.at(f.Until, func() { w.end(f) })
		if f.Kind == Backup {
			w.at(f.At-f.Amount, func() { w.copyDisks(f) })
		}
	}
	w.at(w.plan.End, func() {
		w.trace.line(w, "faults end")
		w.net.calm()
		for _, h := range w.hosts {
			h.powerStays()
		}
	})
}

// begin lets a fault begin.
func (w *world) begin(f *Fault) {
	hold := w.links(f)
	if hold != nil {
		w.net.hold(+1, hold)
	}
	for _, i := range f.Nodes {
		switch f.Kind {
		case Burst:
			w.net.burst[i] += f.Amount
		case Lag:
			w.net.lag[i] += f.Amount
		}
		if i < w.plan.N {
			w.hosts[i].suffer(f)
		}
	}
}

// suffer is what a fault does to a replica at its beginning.
func (h *host) suffer(f *Fault) {
	switch f.Kind {
	case Crash, Stop, Rot, Tail, Backup, Reboot:
		h.cutPower(f)
	case FullDisk:
		h.power.outages++
		h.breakDisk(f, syscall.ENOSPC)
	case BrokenDisk:
		h.power.outages++
		h.breakDisk(f, syscall.EIO)
	case SlowDisk:
		h.slowDisk(f.Amount, 1)
	case Pause:
		h.pauses++
	case Slow:
		h.slow *= f.Amount
	case Jump:
		h.jump += f.Amount
	case Drain:
		h.put(item{input: consensus.Input{Kind: consensus.InDrain}})
	case Reconnect:
		h.connected()
	case Complain:
		h.put(item{input: consensus.Input{Kind: consensus.InComplaint}})
	}
}

// end lets a fault end.
func (w *world) end(f *Fault) {
	if hold := w.links(f); hold != nil {
		w.net.hold(-1, hold)
	}
	for _, i := range f.Nodes {
		switch f.Kind {
		case Burst:
			w.net.burst[i] -= f.Amount
		case Lag:
			w.net.lag[i] -= f.Amount
		}
		if i < w.plan.N {
			w.hosts[i].recover(f)
		}
	}
}

// recover is what the end of a fault does to a replica.
func (h *host) recover(f *Fault) {
	switch f.Kind {
	case Crash, Rot, Tail, Backup, Reboot:
		h.powerBack()
	case FullDisk, BrokenDisk:
		h.breakDisk(f, nil)
		if h.power.outages--; h.power.outages == 0 {
			h.comeBack()
		}
	case SlowDisk:
		h.slowDisk(1, f.Amount)
	case Pause:
		if h.pauses--; h.pauses == 0 {
			h.resume()
		}
	case Slow:
		h.slow /= f.Amount
	case Jump:
		h.jump -= f.Amount
	case Cut, Partition, Mute, Deaf:
		if h.w.rnd.IntN(2) == 0 {
			h.connected() // the links broke meanwhile
		}
	}
}

// links are those that a fault cuts, nil if none.
func (w *world) links(f *Fault) func(from, to int) bool {
	in := func(i int) bool { return slices.Contains(f.Nodes, i) }
	switch f.Kind {
	case Cut:
		return func(from, to int) bool { return in(from) || in(to) }
	case Mute:
		return func(from, _ int) bool { return in(from) }
	case Deaf:
		return func(_, to int) bool { return in(to) }
	case Partition:
		return func(from, to int) bool { return in(from) != in(to) }
	}
	return nil
}

// copyDisks makes the backups that a fault brings back.
func (w *world) copyDisks(f *Fault) {
	for _, i := range f.Nodes {
		w.hosts[i].disk.copyNow()
	}
}
