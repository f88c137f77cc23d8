package execution

import (
	"math/rand/v2"
	"testing"
)

func TestPagesGiveTheRoomOfClosedAndBuriedResultsBack(t *testing.T) {
	l := newLab(t, &echo{}, func(c *Config) { c.MaxCachedResult, c.ReplyBytes, c.ResultCache = 2000, 8000, 0 })
	rnd := rand.New(rand.NewPCG(5, 5))
	c, pages := (*client)(nil), l.cfg.ClientWindow/pageSize+1
	limit := 2*(l.cfg.ReplyBytes+l.cfg.ClientWindow*tombstoneSize) + pages*(keepBuffer+compactAbove) + l.cfg.MaxCachedResult
	for x := range uint64(5000) {
		l.one("a", 1, x+rnd.Uint64N(20), text(rnd.IntN(2000)*rnd.IntN(2)))
		c = l.clients.byName["a"]
		size, live := 0, 0
		for _, p := range c.pages {
			if p != nil {
				size, live = size+cap(p.buf), live+p.live
			}
		}
		if size > 2*limit || live > l.cfg.ReplyBytes+l.cfg.ClientWindow*tombstoneSize || c.bytes > l.cfg.ReplyBytes {
			t.Fatalf("behind %d: %d bytes of buffers, %d in use, %d of results; allowed are %d in use", x, size, live, c.bytes, limit)
		}
	}
	for _, p := range c.pages {
		p.drop(^uint64(0))
		if p.live != 0 || cap(p.buf) > keepBuffer || p.set != 0 || p.kept != 0 {
			t.Fatalf("an empty page holds %d bytes, %d in use", cap(p.buf), p.live)
		}
	}
}
