package sim

import (
	"fmt"

	"github.com/pbft-go/pbft/server/message"
)

// liveness watches what the promises say of a run whose faults have stopped:
// first every request is answered (L1), then every replica catches up (L3, L4),
// then views stop changing (L2), and all the while no window stays full (L6).
type liveness struct {
	w     *world
	phase phase
	since int64 // when the phase began
	bound int64 // how long a phase may take

	view     uint64 // when the calm phase began
	attempts int
	full     []int64 // by replica: since when its window is full, 0: it is not
	inTime   int     // requests that were answered before the faults ended
}

type phase uint8

const (
	loaded phase = iota // requests and faults
	answering
	catchingUp
	calm
)

var phaseRules = [...]string{"", "L1", "L3", "L1"}

// fairFactor is how many timeouts the core lets a client wait.
const fairFactor = 4

func newLiveness(w *world) *liveness {
	p := w.plan
	// In the worst case f faulty primaries in a row each waste what a primary
	// may, at the longest timeout, and clients send again at their slowest.
	perView := int64(fairFactor+2) * int64(p.MaxTimeout) * tick
	return &liveness{w: w, bound: int64(p.F()+2)*perView + 32*p.Retry, full: make([]int64, p.N)}
}

func (l *liveness) start() { l.w.at(l.interval(), l.look) }

func (l *liveness) interval() int64 { return 5 * tick }

// calmRequests is how many requests each client issues while nothing goes
// wrong, to see whether views stand still.
const calmRequests = 4

func (l *liveness) look() {
	w := l.w
	l.window()
	switch l.phase {
	case loaded:
		if w.now >= w.plan.End {
			for _, c := range w.clients {
				l.inTime += c.done
			}
			l.enter(answering)
		}
	case answering:
		if l.idle() {
			l.enter(catchingUp)
		}
	case catchingUp:
		if l.level() {
			l.beCalm()
		}
	case calm:
		if l.idle() && l.level() {
			l.endCalm()
		}
	}
	if l.phase != loaded && w.now-l.since > l.bound {
		w.check.fail(phaseRules[l.phase], "not in %s since the faults ended: %s%s", us(l.bound), l.missing(), w.describe())
		w.done = true
	}
	if !w.done {
		w.after(l.interval(), l.look)
	}
}

func (l *liveness) enter(p phase) {
	l.w.trace.line(l.w, "phase %d", p)
	l.phase, l.since = p, l.w.now
}

// idle (L1): all requests are answered.
func (l *liveness) idle() bool {
	for _, c := range l.w.clients {
		if !c.idle() {
			return false
		}
	}
	return true
}

// level (L3, L4): all correct replicas, learners too, have executed the same,
// and hold the same checkpoint stable.
func (l *liveness) level() bool {
	var executed, h uint64
	for i, o := range l.followers() {
		info := o.core.Info()
		if i == 0 {
			executed, h = info.LastExecuted, info.LowWatermark
		}
		if info.LastExecuted != executed || info.LowWatermark != h || info.Status == message.Starting {
			return false
		}
	}
	return executed == uint64(len(l.w.check.history.entries))
}

// followers are the replicas that must catch up.
func (l *liveness) followers() (list []*host) {
	for _, h := range l.w.hosts {
		if h.liar == nil && !h.down {
			list = append(list, h)
		}
	}
	return list
}

// highestView is that of a correct replica.
func (l *liveness) highestView() (view uint64) {
	for _, h := range l.followers() {
		if h.status == message.Normal {
			view = max(view, h.core.View())
		}
	}
	return view
}

func (l *liveness) beCalm() {
	l.enter(calm)
	l.view = l.highestView()
	for _, c := range l.w.clients {
		if c.plan.Mode != ModeFlood {
			c.left += calmRequests
			c.plan.Pause = max(min(c.plan.Pause, l.w.plan.Retry/8), 1)
		}
	}
}

// leastDeliveries is how many messages a run must deliver to be worth it.
const leastDeliveries = 2000

// endCalm (L2): views have not changed while requests were answered. A change
// may have been under way, and a liar may give its own view up: then it is
// tried again, but not for ever.
func (l *liveness) endCalm() {
	if l.highestView() == l.view {
		if l.w.done = l.w.deliveries >= leastDeliveries; !l.w.done {
			l.beCalm()
		}
		return
	}
	if l.attempts++; l.attempts > 3*l.w.plan.N {
		l.w.check.fail("L2", "views change without end: %d at present%s", l.highestView(), l.w.describe())
		l.w.done = true
		return
	}
	l.w.cover.add("calm phases disturbed")
	l.beCalm()
}

// window (L6): no window stays full once the faults have ended.
func (l *liveness) window() {
	if l.phase == loaded {
		return
	}
	for _, h := range l.followers() {
		info := h.core.Info()
		switch {
		case info.LastExecuted < info.LowWatermark+l.w.plan.Window:
			l.full[h.id] = 0
		case l.full[h.id] == 0:
			l.full[h.id] = l.w.now
		case l.w.now-l.full[h.id] > l.bound/4:
			l.w.check.fail("L6", "the window of replica %d is full since %s%s", h.id, us(l.full[h.id]), l.w.describe())
			l.w.done = true
			return
		}
	}
}

// missing tells what a phase waits for.
func (l *liveness) missing() string {
	for _, c := range l.w.clients {
		if !c.idle() && len(c.open) > 0 {
			return fmt.Sprintf("client %d waits for #%d, sent to all %d times", c.index, c.open[0].number, c.open[0].tries)
		}
	}
	return "replicas do not catch up"
}
