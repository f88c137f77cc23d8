package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
)

// Plan is everything random that shapes a run, drawn from the seed before it
// starts. What happens in it still depends on the seed, message by message.
// Times are microseconds of the run's clock unless they are in ticks.
type Plan struct {
	Seed uint64
	N    int // replicas

	// The configuration of all replicas; see consensus.Config and
	// execution.Config.
	Interval, Window                               uint64
	Limits                                         message.Limits
	WindowBytes, ClientWindow                      int
	Pipeline, Depth                                int
	MaxPending                                     int
	Timeout, MaxTimeout, SyncInterval, RetryFirst  uint64 // ticks
	StatusBudget                                   int
	MaxCachedResult, ReplyBytes, Result, HistoryKB int
	Application                                    string // kv or log
	Fresh                                          bool   // replicas start with the question whether they are new

	Durable      bool // replicas have disks; else whoever starts again has lost its memory
	SegmentBytes int64
	SaveBytes    int   // executed from one saved state to the next
	HistoryKeep  int64 // bytes of executed bodies kept on disk, negative: all

	Net     NetPlan
	Disk    int64 // the longest time until a record, or a state, is durable; 0: it is at once
	Exec    int64 // the longest time to execute a batch
	Turn    int64 // the longest time until a turn takes what waits; 0: each input has a turn of its own
	Clocks  []ClockPlan
	Clients []ClientPlan
	Retry   int64 // until a client sends a request to all replicas

	Liars  []LiarPlan
	Faults []Fault
	End    int64 // all faults have stopped; liars go on
}

// NetPlan is how links behave. Loss, Duplicate and Reorder are shares of
// messages, and 0 behind Plan.End.
type NetPlan struct {
	Delay, Jitter            int64 // a message takes Delay to Delay+Jitter
	Loss, Duplicate, Reorder float64
	FIFO                     bool // what is not reordered arrives in order
}

// ClockPlan is how a replica's clock is wrong.
type ClockPlan struct {
	OffsetUS int64
	DriftPPM int64
}

// Mode is how a client talks to the replicas.
type Mode uint8

// Modes.
const (
	ModeStream Mode = iota // to the primary, over a stream to each replica; f+1 equal blocks or replies
	ModeUnary              // one call to one replica, which collects f+1 replies
	ModePosted             // to one replica; every one posts its reply to the client's URL
	ModeFlood              // as a stream, but far more than the cluster can do
)

func (m Mode) String() string { return [...]string{"stream", "unary", "posted", "flood"}[m] }

// ClientPlan is what a client does.
type ClientPlan struct {
	Mode     Mode
	Window   int   // requests outstanding
	Urgent   bool  // of a flood: it claims to have sent everything before
	Group    int   // requests that are sent at once, at most
	Requests int   // before the end of the faults
	Pause    int64 // between two groups, on average
}

// LiarPlan is a replica that lies, and how.
type LiarPlan struct {
	Replica    int
	Behaviours []string
}

// FaultKind is what goes wrong.
type FaultKind uint8

// Faults. Those up to Backup make their replicas faulty for ever, and count
// among the f; all others cost time only. Those up to SlowDisk, but for Crash and
// Stop, are for replicas with disks.
const (
	Crash      FaultKind = iota // Nodes stop between two effects, and come back empty: memory is lost, and the disk
	Stop                        // Nodes stop for good
	Rot                         // Nodes lose power, and a record of their logs is damaged: they must not come back
	Tail                        // Nodes lose power, and the last Amount writes that they had synced
	Backup                      // Nodes lose power, and come back with the disk of Amount microseconds ago
	Reboot                      // Nodes lose power, and come back; Amount times more they lose it soon after that
	FullDisk                    // the disks of Nodes take nothing more: who notices halts, and starts again afterwards
	BrokenDisk                  // writes and syncs of Nodes fail, likewise
	SlowDisk                    // the disks of Nodes take Amount times as long
	Cut                         // Nodes reach nobody
	Mute                        // what Nodes send does not arrive
	Deaf                        // what is sent to Nodes does not arrive
	Partition                   // Nodes reach each other only, and so do the others
	Pause                       // Nodes stand still, and their input waits
	Slow                        // Nodes take Amount times as long for everything
	Burst                       // of what Nodes send or get, Amount of 100 is lost
	Lag                         // what Nodes send takes Amount microseconds longer
	Jump                        // the clocks of Nodes are wrong by Amount microseconds
	Drain                       // Nodes are asked to hand over, as when they stop
	Reconnect                   // the links of Nodes come up anew
	Complain                    // a client complains to Nodes for no reason
	numFaultKinds
)

func (k FaultKind) String() string {
	return [...]string{
		"crash", "stop", "rot", "lost tail", "old backup", "reboot", "full disk", "broken disk", "slow disk",
		"cut", "mute", "deaf", "partition", "pause", "slow", "burst", "lag", "jump", "drain", "reconnect", "complain",
	}[k]
}

// costs reports whether the replicas of such a fault count among the f.
func (k FaultKind) costs() bool { return k <= Backup }

// Fault is one of them. Nodes are replicas, and above them clients.
type Fault struct {
	Kind      FaultKind
	At, Until int64
	Nodes     []int
	Amount    int64
	Fuse      int  // of a loss of power: effects that still happen
	Ops       int  // of a loss of power: it comes in the middle of the disk's operation with this number, if not before; 0: no matter
	InSave    bool // of a loss of power: it comes while a state is saved, if not before
}

// F is the number of faulty replicas that the cluster tolerates.
func (p *Plan) F() int { return consensus.MaxFaulty(p.N) }

// Lost is the number of replicas that stop for good, or lose what they promised.
func (p *Plan) Lost() (k int) {
	for i := range p.Faults {
		if p.Faults[i].Kind.costs() {
			k += len(p.Faults[i].Nodes)
		}
	}
	return k
}

// Exceeds reports whether more replicas are faulty than the cluster tolerates,
// so that anything may happen.
func (p *Plan) Exceeds() bool { return len(p.Liars)+p.Lost() > p.F() }

// String gives the plan in a few lines.
func (p *Plan) String() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("seed %d: %d replicas (f=%d), K=%d L=%d pipeline=%d depth=%d, batches of %d requests and %d bytes, %s, fresh=%t, exceeds f=%t",
		p.Seed, p.N, p.F(), p.Interval, p.Window, p.Pipeline, p.Depth, p.Limits.MaxBatch, p.Limits.MaxBatchBytes, p.Application, p.Fresh, p.Exceeds())
	line("  ticks: T0=%d T_max=%d sync=%d retry=%d; status budget %d, window %d bytes, W=%d, pending %d, cached %d of %d, recent %d, history %d KiB",
		p.Timeout, p.MaxTimeout, p.SyncInterval, p.RetryFirst, p.StatusBudget, p.WindowBytes, p.ClientWindow, p.MaxPending,
		p.MaxCachedResult, p.ReplyBytes, p.Result, p.HistoryKB)
	line("  net: %s to %s, loss %.3f dup %.3f reorder %.3f fifo=%t; disk %s exec %s turn %s; client retry %s",
		us(p.Net.Delay), us(p.Net.Delay+p.Net.Jitter), p.Net.Loss, p.Net.Duplicate, p.Net.Reorder, p.Net.FIFO,
		us(p.Disk), us(p.Exec), us(p.Turn), us(p.Retry))
	if p.Durable {
		line("  disks: segments of %d bytes, a state every %d bytes, history of %d bytes", p.SegmentBytes, p.SaveBytes, p.HistoryKeep)
	}
	for i, c := range p.Clients {
		line("  client %d: %s, window %d, groups of %d, %d requests, a group every %s", i, c.Mode, c.Window, c.Group, c.Requests, us(c.Pause))
	}
	for _, l := range p.Liars {
		line("  liar %d: %s", l.Replica, strings.Join(l.Behaviours, ", "))
	}
	for _, f := range p.Faults {
		line("  %s", f.String())
	}
	line("  faults end at %s", us(p.End))
	return b.String()
}

// String gives the fault on one line.
func (f *Fault) String() string {
	s := fmt.Sprintf("%s %v at %s", f.Kind, f.Nodes, us(f.At))
	if f.Until > f.At {
		s += " until " + us(f.Until)
	}
	if f.Amount != 0 {
		s += fmt.Sprintf(", %d", f.Amount)
	}
	if f.Fuse > 0 {
		s += fmt.Sprintf(", after %d effects", f.Fuse)
	}
	if f.InSave {
		s += ", while a state is saved"
	}
	if f.Ops > 0 {
		s += fmt.Sprintf(", in operation %d of the disk", f.Ops)
	}
	return s
}

// us shows microseconds.
func us(t int64) string { return (time.Duration(t) * time.Microsecond).String() }
