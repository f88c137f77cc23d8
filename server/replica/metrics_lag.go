package replica

import (
	"slices"
	"time"

	"github.com/pbft-go/pbft/server/consensus"
)

// lag is how many batches this replica has still to execute to be where the
// others are, as far as that is certain: f+1 peers say that they executed as
// much, so that a correct one did, or a certificate proves it. The f+1st highest
// word is taken, so that f liars cannot raise it.
func lag(info *consensus.Info, self, f int) uint64 {
	reached := info.LowWatermark
	var words []uint64
	for i := range info.Peers {
		if p := &info.Peers[i]; i != self {
			words = append(words, max(p.LastExecuted, p.H))
		}
	}
	slices.Sort(words)
	if k := len(words) - 1 - f; k >= 0 {
		reached = max(reached, words[k])
	}
	return reached - min(reached, info.LastExecuted)
}

// windowClock adds up the time in which requests waited for a checkpoint. It
// belongs to the loop.
type windowClock struct {
	full time.Duration
	last time.Time // of look
}

// look is called at every tick: what it finds then stands for the time since
// the tick before.
func (c *windowClock) look(now time.Time, info *consensus.Info, window uint64) {
	if !c.last.IsZero() && windowFull(info, window) {
		c.full += now.Sub(c.last)
	}
	c.last = now
}

// windowFull reports whether all numbers up to the high watermark are used up
// while requests wait: only a stable checkpoint can help.
func windowFull(info *consensus.Info, window uint64) bool {
	return info.Pending > 0 && info.LastCommitted >= info.LowWatermark+window
}
