package sim

import (
	"math/rand/v2"
	"slices"
)

// drawDisks gives most clusters disks, with a log whose segments are short and
// states that are saved often, so that a short run sees many of both.
func drawDisks(r *rand.Rand, p *Plan) {
	p.Durable = r.IntN(4) > 0
	p.SegmentBytes = pick[int64](r, 16<<10, 32<<10, 64<<10)
	p.SaveBytes = pick(r, 2<<10, 8<<10, 24<<10)
	p.HistoryKeep = pick[int64](r, -1, 4<<10, 64<<10)
}

// drawLoss draws a fault that makes a replica faulty for ever.
func drawLoss(r *rand.Rand, p *Plan, id int) Fault {
	f := Fault{Kind: Crash, At: between(r, p.End/10, p.End*9/10), Nodes: []int{id}, Fuse: r.IntN(2 * p.N)}
	f.Until = f.At + between(r, 1, p.End/4)
	if r.IntN(6) == 0 {
		f.Kind, f.Until = Stop, f.At
		return f
	}
	if !p.Durable {
		return f
	}
	switch f.Kind = pick(r, Crash, Crash, Rot, Tail, Tail, Backup, Backup); f.Kind {
	case Tail:
		f.Amount = between(r, 1, 12)
	case Backup:
		f.Amount = between(r, 1, f.At)
	}
	return f
}

// drawReboots draws losses of power after which the disks are as they should be:
// of one replica, of some, one after the other, or of all at once.
func drawReboots(r *rand.Rand, p *Plan) {
	if !p.Durable {
		return
	}
	for range r.IntN(4) {
		at := between(r, 0, p.End*9/10)
		k, spread := 1, int64(0)
		switch r.IntN(4) {
		case 0:
			k = 1 + r.IntN(p.N)
			spread = between(r, 0, p.End/20)
		case 1:
			k = p.N
			spread = pick(r, 0, 0, between(r, 0, p.End/50), between(r, 0, p.End))
		}
		for _, id := range r.Perm(p.N)[:k] {
			if !p.lies(id) {
				p.Faults = append(p.Faults, drawReboot(r, p, id, at+between(r, 0, spread)))
			}
		}
	}
}

func drawReboot(r *rand.Rand, p *Plan, id int, at int64) Fault {
	f := Fault{Kind: Reboot, Nodes: []int{id}, At: min(at, p.End*9/10)}
	f.Until = min(f.At+between(r, 1, pick(r, tick, p.End/50, p.End/4)), p.End)
	switch r.IntN(5) {
	case 0:
		f.Fuse = r.IntN(4 * p.N)
	case 1:
		f.Ops = 1 + r.IntN(12)
	case 2:
		f.InSave, f.Until = true, min(f.At+p.End/3, p.End)
	}
	if r.IntN(3) == 0 {
		f.Amount = between(r, 1, 4)
	}
	return f
}

// drawKind draws a fault that costs time only.
func drawKind(r *rand.Rand, p *Plan) FaultKind {
	if p.Durable && r.IntN(4) == 0 {
		return pick(r, FullDisk, BrokenDisk, SlowDisk)
	}
	return Cut + FaultKind(r.IntN(int(numFaultKinds-Cut)))
}

// suffers reports whether a fault of a kind befalls a replica.
func (p *Plan) suffers(replica int, kind FaultKind) bool {
	return slices.ContainsFunc(p.Faults, func(f Fault) bool { return f.Kind == kind && slices.Contains(f.Nodes, replica) })
}
