package execution

import "github.com/pbft-go/pbft/crypto"

// clientPeriod is what clients were at its beginning, a checkpoint: as a
// period of the store (past.go), but by client. A page of replies is shared
// between an image and the table until the table changes it.
type clientPeriod struct {
	held   int       // users
	order  []*client // all clients at the beginning, by id
	images map[*client]*clientImage
	leaves []crypto.Digest // by id, once the checkpoint is complete
}

// clientImage is one client at one moment.
type clientImage struct {
	name       string
	low, lastN uint64
	pages      []*page
}

// beginPeriod ends the period and begins another.
func (t *clientTable) beginPeriod() *clientPeriod {
	p := &clientPeriod{held: 1, order: append([]*client(nil), t.sorted...), images: make(map[*client]*clientImage)}
	t.periods = append(t.periods, p)
	t.period++
	return p
}

// keep takes the image of a client before its first change in this period.
func (t *clientTable) keep(c *client) {
	if len(t.periods) == 0 || c.period == t.period {
		return
	}
	c.period = t.period
	now := t.periods[len(t.periods)-1]
	now.images[c] = &clientImage{name: c.name, low: c.low, lastN: c.lastN, pages: c.share()}
}

// release lets go of the periods that nobody needs any more.
func (t *clientTable) release(p *clientPeriod) {
	p.held--
	for len(t.periods) > 0 && t.periods[0].held == 0 {
		t.periods[0] = nil
		t.periods = t.periods[1:]
	}
}

// at is client i, by id, as it was at the beginning of the period.
func (t *clientTable) at(p *clientPeriod, i int) clientImage { return t.was(p, p.order[i]) }

// was is a client as it was at the beginning of the period.
func (t *clientTable) was(p *clientPeriod, c *client) clientImage {
	behind := true
	for _, q := range t.periods {
		if behind = behind && q != p; behind {
			continue
		}
		if m := q.images[c]; m != nil {
			return *m
		}
	}
	return clientImage{name: c.name, low: c.low, lastN: c.lastN, pages: c.pages}
}
