package replica

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
)

// eventLog turns the core's facts into counters and log lines. Counters are
// exact; lines about one kind of fact and one peer come at most once in
// logEvery, and say how many they stand for.
type eventLog struct {
	r    *Replica
	mu   sync.Mutex
	seen map[eventKey]*eventCount

	refused map[consensus.Reason]uint64 // groups of clients
}

// eventKey is bounded: kinds, peers and reasons are.
type eventKey struct {
	kind    consensus.EventKind
	replica message.ReplicaID
	reason  consensus.Reason
	cause   consensus.Cause
}

type eventCount struct {
	total, unlogged uint64
	logged          time.Time
}

const logEvery = 10 * time.Second

func (l *eventLog) init(r *Replica) {
	l.r, l.seen, l.refused = r, make(map[eventKey]*eventCount), make(map[consensus.Reason]uint64)
}

// refuse counts a client's group that was not admitted.
func (l *eventLog) refuse(why consensus.Reason) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused[why]++
}

// take notes one fact. Only the loop calls it.
func (l *eventLog) take(e *consensus.Event) {
	l.mu.Lock()
	k := eventKey{e.Kind, e.Replica, e.Reason, e.Cause}
	c := l.seen[k]
	if c == nil {
		c = &eventCount{}
		l.seen[k] = c
	}
	c.total++
	c.unlogged++
	l.mu.Unlock()
	if e.Kind == consensus.EvStatus {
		text := e.Text
		l.r.reason.Store(&text)
		l.r.status.Store(uint32(e.Status))
		l.r.gateway.Changed()
	}
	level := eventLevel(e)
	if !l.r.log.Enabled(nil, level) { //nolint:staticcheck // slog's handlers take no context here
		return
	}
	now := time.Now()
	if e.Kind != consensus.EvStatus && now.Sub(c.logged) < logEvery {
		return
	}
	l.r.log.Log(nil, level, e.Describe(), "peer", int(e.Replica), "times", c.unlogged) //nolint:staticcheck // as above
	c.logged, c.unlogged = now, 0
}

func eventLevel(e *consensus.Event) slog.Level {
	switch e.Kind {
	case consensus.EvDiverged, consensus.EvSplit:
		return slog.LevelError
	case consensus.EvStatus:
		if e.Status == message.Learner || e.Status == message.Halted {
			return slog.LevelError
		}
		return slog.LevelInfo
	case consensus.EvEquivocation, consensus.EvClockSkew, consensus.EvStalled, consensus.EvViewChange:
		return slog.LevelWarn
	case consensus.EvComplaint, consensus.EvNewView, consensus.EvBehind, consensus.EvInstalled:
		return slog.LevelInfo
	default:
		return slog.LevelDebug
	}
}

// counters gives the totals under stable names, and per peer how many messages
// were refused and how many equivocations seen.
func (l *eventLog) counters(n int) (totals map[string]uint64, rejected, equivocations []uint64) {
	totals = make(map[string]uint64)
	rejected, equivocations = make([]uint64, n), make([]uint64, n)
	l.mu.Lock()
	defer l.mu.Unlock()
	for why, count := range l.refused {
		totals[fmt.Sprintf("refused:%s", why)] = count
	}
	for k, c := range l.seen {
		switch k.kind {
		case consensus.EvRejected:
			totals[fmt.Sprintf("rejected:%s", k.reason)] += c.total
			if int(k.replica) < n {
				rejected[k.replica] += c.total
			}
		case consensus.EvEquivocation:
			totals["equivocations"] += c.total
			if int(k.replica) < n {
				equivocations[k.replica] += c.total
			}
		case consensus.EvStable:
			totals["stable_checkpoints"] += c.total
		case consensus.EvStalled:
			totals["soft_expiries"] += c.total
		case consensus.EvClockSkew:
			totals["clock_skew"] += c.total
		case consensus.EvDiverged:
			totals["diverged"] += c.total
		case consensus.EvSplit:
			totals["splits"] += c.total
		case consensus.EvViewChange:
			totals[fmt.Sprintf("view_changes:%s", k.cause)] += c.total
		case consensus.EvNewView:
			totals["new_views"] += c.total
		case consensus.EvInstalled:
			totals["states_installed"] += c.total
		}
	}
	return totals, rejected, equivocations
}
