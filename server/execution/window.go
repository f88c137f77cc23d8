package execution

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/pbft-go/pbft/crypto"
)

// client is one client's entry: everything below low is closed, and of the
// numbers in [low, low+W) the pages tell which are executed.
type client struct {
	name  string
	w     uint64 // W
	low   uint64
	lastN uint64 // sequence number of the last execution
	high  uint64 // one more than the highest executed number
	bytes int    // of results kept
	head  uint64 // no page below this one keeps a result

	pages []*page // page p at p mod W/pageSize+1, made when first used; a shared one is copied before it changes
	leaf  crypto.Digest
	clean bool // leaf is up to date
	saved bool // the disk has it as it is, or the save under way

	id     uint64 // that the disk knows it by, 0: none
	onDisk uint64 // low as the disk has it, plus one; 0: the disk does not have it
	leafAt int    // where the digest under way waits for the leaf, plus one; 0: it does not

	period   uint64 // the last one that has an image of it
	age      uint64 // lastN as the heap by age knows it
	reported uint64 // batch whose output holds the window
}

func newClient(name string, w uint64) *client {
	return &client{name: name, w: w, pages: make([]*page, w/pageSize+1)}
}

// held is the page of the given index if it holds something, or nil.
func (c *client) held(index uint64) *page {
	p := c.pages[index%uint64(len(c.pages))]
	if p == nil || p.index != index || p.set == 0 {
		return nil
	}
	return p
}

// page is the page of number x, which lies in the window, to be changed. What
// its place held is below the window.
func (c *client) page(x uint64) *page {
	index := x / pageSize
	p := &c.pages[index%uint64(len(c.pages))]
	switch {
	case *p == nil, (*p).shared && (*p).index != index:
		*p = &page{}
	case (*p).shared:
		*p = (*p).copy()
	}
	(*p).index = index
	return *p
}

// share marks all pages as part of an image, and returns them.
func (c *client) share() []*page {
	for _, p := range c.pages {
		if p != nil {
			p.shared = true
		}
	}
	return slices.Clone(c.pages)
}

func (c *client) executed(x uint64) bool {
	p := c.held(x / pageSize)
	return p != nil && p.set&(1<<(x%pageSize)) != 0
}

// reply is the entry of an executed number.
func (c *client) reply(x uint64) *reply { return &c.held(x / pageSize).replies[x%pageSize] }

// admit applies rules 1 to 3 to number x under session: it reports whether x
// is to be executed, else the outcome that stands.
func (c *client) admit(x, session uint64) (run bool, r crypto.Result) {
	switch {
	case x < c.low:
		return false, crypto.Result{Number: x, Status: crypto.StatusExpired}
	case c.executed(x):
		return false, c.outcome(x, session)
	case x >= c.low+c.w:
		c.slide(x - c.w + 1)
	}
	return true, r
}

// outcome is the stored outcome of executed number x as a request under
// session sees it. Its value is a copy.
func (c *client) outcome(x, session uint64) crypto.Result {
	s := c.reply(x)
	if s.session != session {
		return crypto.Result{N: s.n, Number: x, Status: crypto.StatusRejected}
	}
	r := crypto.Result{N: s.n, Number: x, Status: s.status, Tombstone: s.tombstone}
	value := c.held(x / pageSize).value(x % pageSize)
	if s.tombstone {
		copy(r.Digest[:], value)
		r.Size = binary.BigEndian.Uint64(value[len(r.Digest):])
	} else {
		r.Value = bytes.Clone(value)
	}
	return r
}

// slide closes all numbers below low.
func (c *client) slide(low uint64) {
	for i := c.low / pageSize; i < c.low/pageSize+uint64(len(c.pages)) && i*pageSize < low; i++ {
		if c.held(i) == nil {
			continue
		}
		p := c.page(i * pageSize)
		gone := ^uint64(0)
		if low < (i+1)*pageSize {
			gone = 1<<(low%pageSize) - 1
		}
		c.bytes -= p.drop(gone)
	}
	c.low = low
	c.clean, c.saved = false, false
}

// mark notes that x is executed at n, so that a repetition in the same batch
// is not; call is its index there.
func (c *client) mark(x, n, session uint64, status crypto.Status, call int) {
	c.page(x).mark(x%pageSize, reply{n: n, session: session, status: status, at: uint32(call)})
	c.lastN = n
	c.high = max(c.high, x+1)
	c.clean, c.saved = false, false
}

// appendBits appends the window as the core knows it: bit x mod W for each
// executed number x.
func (c *client) appendBits(b []uint64) []uint64 {
	words := c.w / 64
	b = append(b, make([]uint64, words)...)
	own := b[uint64(len(b))-words:]
	for i := range uint64(len(c.pages)) {
		if p := c.held(c.low/pageSize + i); p != nil {
			own[p.index%words] |= p.set
		}
	}
	return b
}

// lowestKept finds the lowest number whose result is kept; there is one.
func (c *client) lowestKept() (p *page, i uint64) {
	for c.head = max(c.head, c.low/pageSize); ; c.head++ {
		if p := c.held(c.head); p != nil && p.kept != 0 {
			return c.page(c.head * pageSize), uint64(bits.TrailingZeros64(p.kept))
		}
	}
}
