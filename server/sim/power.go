package sim

import "github.com/pbft-go/pbft/server/message"

// power is when a replica loses it, and what else it loses then.
type power struct {
	outages int      // faults that keep it off
	fuse    int      // effects until it fails; 0: it does not
	inSave  bool     // it fails when the next state is saved
	loops   int64    // times that it fails soon after a start
	dooms   []*Fault // what is lost with it
}

// cutPower lets power fail as a fault says: after some effects, in the middle of
// an operation of the disk, or at once.
func (h *host) cutPower(f *Fault) {
	h.power.outages++
	h.power.loops += f.loops()
	if f.Kind.costs() {
		h.power.dooms = append(h.power.dooms, f)
	}
	switch {
	case h.down:
		h.suffered()
	case f.Fuse == 0 && (f.Ops == 0 && !f.InSave || h.disk == nil):
		h.crash()
	default:
		if f.Fuse > 0 && (h.power.fuse == 0 || f.Fuse < h.power.fuse) {
			h.power.fuse = f.Fuse
		}
		if f.Ops > 0 && h.disk != nil {
			h.disk.ops = f.Ops
		}
		h.power.inSave = h.power.inSave || f.InSave
	}
}

// loops is how often the replicas of a fault lose power once more.
func (f *Fault) loops() int64 {
	if f.Kind == Reboot {
		return f.Amount
	}
	return 0
}

// powerBack ends an outage. Whoever was still running fails now.
func (h *host) powerBack() {
	if !h.down {
		h.crash()
	}
	if h.power.outages--; h.power.outages == 0 {
		h.comeBack()
	}
}

// comeBack starts a replica that is off, unless it is gone.
func (h *host) comeBack() {
	if !h.down || h.gone {
		return
	}
	h.start(true)
	h.connected()
}

// crash ends a life.
func (h *host) crash() {
	h.trace("crashes")
	h.down, h.power.fuse, h.power.inSave = true, 0, false
	if h.disk != nil {
		h.w.cover.add("losses of power")
		h.disk.powerFails()
	} else {
		h.w.cover.add("lost memories")
		h.lost = true
		h.w.check.lost(h)
	}
	h.suffered()
	h.restartSoon()
}

// suffered takes away what the faults of a replica without power say.
func (h *host) suffered() {
	for _, f := range h.power.dooms {
		h.w.cover.add("suffered: " + f.Kind.String())
		switch f.Kind {
		case Crash:
			h.lose()
		case Stop:
			h.gone = true
			h.lose()
		case Rot:
			h.faulty()
			if !h.disk.rot() {
				h.gone = true // there is nothing to damage, but it counts as faulty
			}
		case Tail:
			h.faulty()
			if lost := h.disk.files.Lose(logDir, int(f.Amount)); lost > 0 {
				h.w.cover.add("lost tails")
			}
		case Backup:
			h.faulty()
			if !h.disk.goBack() {
				h.lose()
			}
		}
	}
	h.power.dooms = nil
}

// lose loses everything.
func (h *host) lose() {
	if h.disk != nil {
		h.disk.clear()
		h.lost = true
		h.w.check.lost(h)
	}
}

// faulty notes that the replica forgets what it promised.
func (h *host) faulty() {
	h.stale = true
	h.w.check.faulty |= 1 << h.id
}

// restartSoon starts a replica again that no fault keeps off.
func (h *host) restartSoon() {
	if h.power.outages > 0 || h.gone {
		return
	}
	h.w.cover.add("power failed again")
	life := h.life
	h.w.after(h.w.upTo(h.w.plan.End/20), func() {
		if h.life == life && h.power.outages == 0 {
			h.comeBack()
		}
	})
}

// rewire lets power fail again soon after a start, if it is to.
func (h *host) rewire() {
	if h.power.loops == 0 || h.w.now >= h.w.plan.End {
		return
	}
	h.power.loops--
	if r := h.w.rnd; r.IntN(2) == 0 {
		h.disk.ops = 1 + r.IntN(10)
	} else {
		h.power.fuse = 1 + r.IntN(4*h.w.plan.N)
	}
}

// powerStays ends all that lets power fail.
func (h *host) powerStays() {
	if len(h.power.dooms) > 0 {
		return // it must come
	}
	h.power.loops, h.power.fuse, h.power.inSave = 0, 0, false
	if h.disk != nil {
		h.disk.ops = 0
	}
	if h.power.outages == 0 {
		h.comeBack()
	}
}

// burn counts an effect, and reports whether power has not failed by it.
func (h *host) burn() bool {
	if h.down {
		return false
	}
	if h.power.fuse > 0 {
		if h.power.fuse--; h.power.fuse == 0 {
			h.crash()
			return false
		}
	}
	return true
}

// diskFailed stops a replica whose disk fails, or has failed. That is no
// violation if its disk was to fail; it starts again when the disk is mended.
func (h *host) diskFailed(err error) {
	if lostPower(err) {
		h.crash()
		return
	}
	h.trace("halts: %v", err)
	d := h.disk
	h.w.cover.add("halts for the own disk")
	switch {
	case d.rotten:
		h.gone = true
		h.w.cover.add("damaged logs refused")
	case h.liar != nil || h.stale:
		h.gone = true
	case d.broken == nil && !d.failed:
		h.gone = true
		h.w.check.fail("I17", "replica %d halts: %v", h.id, err)
	}
	h.down, h.power.fuse, h.power.inSave = true, 0, false
	d.powerFails()
	h.restartSoon()
}

// breakDisk lets all writes fail, or mends that.
func (h *host) breakDisk(f *Fault, err error) {
	if h.disk == nil {
		return
	}
	h.disk.broken, h.disk.full = err, f.Kind == FullDisk
}

// halted stops a replica that met a contradiction. Who forgot what it promised
// may meet one.
func (h *host) halted(why string) {
	if h.stale {
		h.w.cover.add("halts of who forgot")
		h.down, h.gone = true, true
		h.status = message.Halted
		return
	}
	h.w.check.halted(h, why)
}

func (h *host) slowDisk(times, part int64) {
	if h.disk != nil {
		h.disk.slow = h.disk.slow * times / part
	}
}
