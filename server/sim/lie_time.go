package sim

import (
	"math"

	"github.com/pbft-go/pbft/server/message"
)

func init() {
	register("B13 wrong times", func() Behaviour {
		w := &wrongTimes{}
		w.swapping = newSwapping(w.choose)
		return w
	})
}

// wrongTimes proposes times far from its clock, at the edge of what others
// allow, and before those that it proposed already. (B13)
type wrongTimes struct {
	swapping
	last int64
}

func (w *wrongTimes) choose(l *Liar, m *message.PrePrepare) *message.Batch {
	h := &m.Batch.Header
	at := h.WallUS
	switch l.Rand.IntN(30) {
	case 0:
		at = pick(l.Rand, 0, -1, math.MinInt64, math.MaxInt64, at+math.MinInt64)
		l.lied("B13 time out of this world")
	case 1:
		at += pick[int64](l.Rand, -1, 1) * between(l.Rand, 2*maxDriftUS, 1000*maxDriftUS)
		l.lied("B13 time far off")
	case 2, 3, 4, 5, 6:
		at += pick[int64](l.Rand, -1, 1) * between(l.Rand, maxDriftUS*3/4, maxDriftUS*5/4)
		l.lied("B13 time that some take")
	case 7, 8, 9, 10, 11, 12, 13, 14, 15, 16:
		if w.last == 0 {
			return nil
		}
		at = max(w.last, at-maxDriftUS*3/4) - between(l.Rand, 0, tick)
		l.lied("B13 time that goes back")
	default:
		return nil
	}
	w.last = at
	return l.Collusion.Batch(h.N, at, m.Batch.Groups...)
}
