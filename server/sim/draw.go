package sim

import (
	"cmp"
	"math/rand/v2"
	"slices"

	"github.com/pbft-go/pbft/server/message"
)

// tick is the length of the core's tick in microseconds.
const tick = 10_000

// incarnationOfAll is the incarnation of every replica until they can rejoin.
const incarnationOfAll = 1

// The streams of chance of one seed.
const (
	planStream = iota + 1
	worldStream
	liarStream
)

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// between draws from low to high, both included.
func between(r *rand.Rand, low, high int64) int64 { return low + r.Int64N(high-low+1) }

// draw makes the plan of a seed.
func draw(seed uint64) *Plan {
	r := rand.New(rand.NewPCG(seed, planStream))
	p := &Plan{Seed: seed, N: pick(r, 4, 4, 4, 4, 4, 5, 5, 7, 7, 10)}
	drawConfig(r, p)
	drawPace(r, p)
	drawClients(r, p)
	drawDisks(r, p)
	drawLiars(r, p)
	drawFaults(r, p)
	drawReboots(r, p)
	slices.SortStableFunc(p.Faults, func(a, b Fault) int { return cmp.Compare(a.At, b.At) })
	return p
}

func drawConfig(r *rand.Rand, p *Plan) {
	p.Interval = uint64(between(r, 4, 8))
	p.Window = p.Interval * uint64(between(r, 2, 4))
	p.Depth = pick(r, 1, 1, 2, 3)
	p.Pipeline = 1 + r.IntN(int(p.Window-p.Interval))
	p.Limits = message.Limits{MaxBatch: pick(r, 4, 16, 64), MaxBatchBytes: pick(r, 2<<10, 8<<10)}
	p.WindowBytes = 2 * int(p.Interval) * p.Limits.MaxBatchBytes * pick(r, 1, 4)
	p.ClientWindow = pick(r, 64, 128)
	p.MaxPending = pick(r, 400, 2000, 20_000)
	p.StatusBudget = pick(r, 4<<10, 32<<10, 1<<20)
	p.MaxCachedResult = pick(r, 8, 64, 4096)
	p.ReplyBytes = pick(r, 256, 64<<10)
	p.Result = pick(r, 0, 4<<10, 1<<20)
	p.HistoryKB = pick(r, 4, 64, 16<<10)
	p.Application = pick(r, "kv", "kv", "kv", "log")
	p.Fresh = r.IntN(2) == 0
}

// drawPace draws what takes how long. A batch takes a small part of the first
// timeout where nothing is wrong.
func drawPace(r *rand.Rand, p *Plan) {
	p.Timeout = pick[uint64](r, 20, 30, 50, 100)
	p.MaxTimeout = p.Timeout * pick[uint64](r, 4, 8, 16)
	p.SyncInterval = p.Timeout/4 + r.Uint64N(p.Timeout)
	p.RetryFirst = max(p.Timeout/20, 1) + r.Uint64N(3)
	unit := int64(p.Timeout) * tick / 40
	p.Net = NetPlan{
		Delay: between(r, unit/50, unit/2), Loss: pick(r, 0, 0, 0.005, 0.02, 0.1),
		Duplicate: pick(r, 0, 0, 0.02, 0.1), Reorder: pick(r, 0, 0, 0.05, 0.3), FIFO: r.IntN(2) == 0,
	}
	p.Net.Jitter = between(r, 0, unit-p.Net.Delay)
	if r.IntN(10) > 2 {
		p.Disk = between(r, 1, unit)
	}
	if r.IntN(10) > 3 {
		p.Turn = between(r, 1, unit/4)
	}
	p.Exec = between(r, 1, unit/2)
	p.Retry = int64(p.Timeout) * tick * between(r, 2, 8) / 8
	p.End = int64(p.Timeout) * tick * between(r, 6, 20)
	for range p.N {
		p.Clocks = append(p.Clocks, ClockPlan{OffsetUS: between(r, -maxDriftUS/4, maxDriftUS/4), DriftPPM: between(r, -200, 200)})
	}
}

// maxDriftUS is how far a proposal's clock may be from a replica's own.
const maxDriftUS = 1_000_000

func drawClients(r *rand.Rand, p *Plan) {
	const requests = 110 // at least so many in all
	k := 2 + r.IntN(3)
	for i := range k {
		c := ClientPlan{Mode: pick(r, ModeStream, ModeStream, ModeStream, ModeUnary, ModePosted), Window: 1 + r.IntN(12), Group: 1}
		if i == 0 {
			c.Mode = ModeStream
		}
		if c.Mode == ModeStream {
			c.Group = 1 + r.IntN(min(c.Window, p.Limits.MaxBatch))
		}
		c.Requests = requests/k + 1 + r.IntN(20)
		c.Pause = max(p.End*int64(c.Group+1)/2/int64(c.Requests)*between(r, 2, 9)/10, 1)
		p.Clients = append(p.Clients, c)
	}
}

// drawLiars draws up to f liars.
func drawLiars(r *rand.Rand, p *Plan) {
	if r.IntN(2) == 0 {
		return
	}
	for _, id := range r.Perm(p.N)[:1+r.IntN(p.F())] {
		l := LiarPlan{Replica: id}
		for range 1 + r.IntN(2) {
			b := registry[r.IntN(len(registry))]
			if !slices.Contains(l.Behaviours, b.name) {
				l.Behaviours = append(l.Behaviours, b.name)
			}
		}
		p.Liars = append(p.Liars, l)
	}
	slices.SortFunc(p.Liars, func(a, b LiarPlan) int { return cmp.Compare(a.Replica, b.Replica) })
}

func (p *Plan) lies(replica int) bool {
	return slices.ContainsFunc(p.Liars, func(l LiarPlan) bool { return l.Replica == replica })
}

// drawFaults draws crashes as long as no more than f replicas are faulty, and
// a few faults of other kinds. There is at least one fault, a liar counted.
func drawFaults(r *rand.Rand, p *Plan) {
	left := p.F() - len(p.Liars)
	for _, id := range r.Perm(p.N) {
		if left > 0 && !p.lies(id) && r.IntN(3) == 0 {
			left--
			p.Faults = append(p.Faults, drawLoss(r, p, id))
		}
	}
	k := r.IntN(6)
	if len(p.Faults)+len(p.Liars) == 0 {
		k++
	}
	for range k {
		p.Faults = append(p.Faults, drawFault(r, p))
	}
}

func drawFault(r *rand.Rand, p *Plan) Fault {
	f := Fault{Kind: drawKind(r, p)}
	f.At = between(r, 0, p.End*8/10)
	f.Until = min(f.At+between(r, tick, p.End/2), p.End)
	nodes := p.N
	if f.Kind == Partition || f.Kind == Burst {
		nodes += len(p.Clients)
	}
	k := 1 + r.IntN(2)
	if r.IntN(4) == 0 || f.Kind == Partition {
		k = 1 + r.IntN(p.N)
	}
	f.Nodes = slices.Sorted(slices.Values(r.Perm(nodes)[:k]))
	switch f.Kind {
	case Slow, SlowDisk:
		f.Amount = between(r, 2, 30)
	case Burst:
		f.Amount = between(r, 20, 100)
	case Lag:
		f.Amount = between(r, tick, int64(p.Timeout)*tick)
	case Jump:
		f.Amount = pick(r, int64(-1), 1) * between(r, maxDriftUS/2, 4*maxDriftUS)
	case Drain, Reconnect, Complain:
		f.Until = f.At
	}
	return f
}
