package pbftclient

import (
	"context"
	"time"
)

// window holds the outstanding requests of a session by number. Their numbers
// span less than the cluster's client window, which bounds it.
type window struct {
	slots     []slot // number x at x mod len, a power of two
	low, high uint64 // outstanding numbers lie in [low, high)
	count     int
}

// slot is one outstanding request.
type slot struct {
	call   *Call // nil: free
	number uint64
	ctx    context.Context

	// In nanoseconds of the client's clock.
	begun int64
	due   int64         // when it goes to all replicas
	again int64         // when it goes to the primary once more, after a refusal; 0: never
	wait  time.Duration // from due to the due after it

	refused int // times, and may be admitted later

	queued bool // in the session's queue
	sent   bool
	to     int    // the replica that it was sent to alone, last
	votes  *votes // of replicas that answered singly or refused; nil: none was asked to
}

// minSlots is the first size of a window's ring.
const minSlots = 16

// at finds the request of number x, or nil.
func (w *window) at(x uint64) *slot {
	if w.count == 0 {
		return nil
	}
	if s := &w.slots[x&uint64(len(w.slots)-1)]; s.call != nil && s.number == x {
		return s
	}
	return nil
}

// fits reports whether x and all that is outstanding span at most span
// numbers.
func (w *window) fits(x, span uint64) bool {
	return w.count == 0 || max(w.high, x+1)-min(w.low, x) <= span
}

// add makes x outstanding. It must fit and not be outstanding already.
func (w *window) add(x uint64) *slot {
	if w.count == 0 {
		w.low, w.high = x, x
	}
	w.low, w.high = min(w.low, x), max(w.high, x+1)
	if span := w.high - w.low; span > uint64(len(w.slots)) {
		w.grow(span)
	}
	w.count++
	s := &w.slots[x&uint64(len(w.slots)-1)]
	s.number = x
	return s
}

func (w *window) grow(span uint64) {
	size := uint64(max(minSlots, len(w.slots)))
	for size < span {
		size *= 2
	}
	old := w.slots
	w.slots = make([]slot, size)
	for i := range old {
		if old[i].call != nil {
			w.slots[old[i].number&(size-1)] = old[i]
		}
	}
}

// remove ends s, and moves both ends up to what is still outstanding.
func (w *window) remove(s *slot) {
	*s = slot{}
	w.count--
	if w.count == 0 {
		w.low = w.high
		return
	}
	for w.at(w.low) == nil {
		w.low++
	}
	for w.at(w.high-1) == nil {
		w.high--
	}
}

// each calls f for every outstanding request, by number. f may end it.
func (w *window) each(f func(*slot)) {
	left := w.count
	for x := w.low; left > 0; x++ {
		if s := w.at(x); s != nil {
			left--
			f(s)
		}
	}
}
