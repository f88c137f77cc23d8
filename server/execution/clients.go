package execution

import (
	"slices"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
)

// pageSize is how many numbers share a digest in the client table, so that a
// request rehashes one page, not the client's whole window.
const pageSize = 64

// clientTable makes execution exactly-once. It is replicated state: equal at
// all replicas, part of the checkpoint, changed by execution alone.
type clientTable struct {
	cfg     *Config
	byName  map[string]*client
	sorted  []*client // by id, for the root
	last    *client   // the one looked up last
	replies int       // reply bytes of all clients
}

// client is one client's entry: everything below low is closed, and of the
// numbers in [low, low+W) those with their bit set are executed.
type client struct {
	name  string
	low   uint64
	lastN uint64 // sequence number of the last execution
	bits  []uint64
	ring  []reply // number x at x mod W; grown when first used
	bytes int     // of results kept in the ring
	head  uint64  // no result is kept below this number
	high  uint64  // one more than the highest executed number

	pages []page // page p at p mod W/pageSize+1
	leaf  crypto.Digest
	clean bool // leaf is up to date
}

// reply is the stored outcome of one number.
type reply struct {
	number    uint64
	n         uint64
	session   uint64
	status    crypto.Status
	tombstone bool
	value     []byte
	digest    crypto.Digest // tombstones
	size      uint64        // tombstones
}

type page struct {
	index  uint64
	digest crypto.Digest
	clean  bool
}

func newClientTable(c *Config) *clientTable {
	return &clientTable{cfg: c, byName: make(map[string]*client)}
}

// find is the entry of a client, or nil.
func (t *clientTable) find(name []byte) *client {
	if t.last != nil && t.last.name == string(name) {
		return t.last
	}
	c := t.byName[string(name)]
	if c != nil {
		t.last = c
	}
	return c
}

// open finds or makes the entry of a client that executes at n. If the table
// is full the client with the smallest (last execution, id) is evicted: from
// replicated data alone, so all replicas evict the same one.
func (t *clientTable) open(name []byte) (c *client, evicted *client) {
	if c := t.find(name); c != nil {
		return c, nil
	}
	if len(t.byName) >= t.cfg.MaxClients {
		evicted = t.evict()
	}
	w := t.cfg.ClientWindow
	c = &client{name: string(name), bits: make([]uint64, w/64), pages: make([]page, w/pageSize+1)}
	t.byName[c.name] = c
	i, _ := slices.BinarySearchFunc(t.sorted, c.name, func(c *client, name string) int {
		return compareStrings(c.name, name)
	})
	t.sorted = slices.Insert(t.sorted, i, c)
	t.last = c
	return c, evicted
}

func compareStrings(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (t *clientTable) evict() *client {
	at := 0
	for i, c := range t.sorted {
		if c.lastN < t.sorted[at].lastN {
			at = i
		}
	}
	c := t.sorted[at]
	t.sorted = slices.Delete(t.sorted, at, at+1)
	delete(t.byName, c.name)
	if t.last == c {
		t.last = nil
	}
	return c
}

// at is where number x stands in the ring, and its bit.
func (c *client) executed(x uint64) bool {
	if x < c.low || x >= c.low+uint64(len(c.bits))*64 {
		return false
	}
	i := x % (uint64(len(c.bits)) * 64)
	return c.bits[i/64]&(1<<(i%64)) != 0
}

func (c *client) reply(x uint64) *reply { return &c.ring[x%uint64(len(c.ring))] }

// admit applies rules 1 to 3 to number x under session: it reports whether x
// is to be executed, else the outcome that stands.
func (c *client) admit(x, session uint64) (run bool, r crypto.Result) {
	switch {
	case x < c.low:
		return false, crypto.Result{Number: x, Status: crypto.StatusExpired}
	case c.executed(x):
		return false, c.outcome(x, session)
	}
	w := uint64(len(c.bits)) * 64
	if x >= c.low+w {
		c.slide(x - w + 1)
	}
	return true, r
}

// outcome is the stored outcome of executed number x as a request under
// session sees it.
func (c *client) outcome(x, session uint64) crypto.Result {
	s := c.reply(x)
	if s.session != session {
		return crypto.Result{N: s.n, Number: x, Status: crypto.StatusRejected}
	}
	return crypto.Result{N: s.n, Number: x, Status: s.status, Tombstone: s.tombstone, Value: s.value, Digest: s.digest, Size: s.size}
}

// slide closes all numbers below low.
func (c *client) slide(low uint64) {
	w := uint64(len(c.bits)) * 64
	for x := c.low; x < low && x < c.low+w; x++ {
		i := x % w
		if bit := uint64(1) << (i % 64); c.bits[i/64]&bit != 0 {
			c.bits[i/64] &^= bit
			r := c.reply(x)
			c.bytes -= len(r.value)
			*r = reply{}
		}
		c.page(x).clean = false
	}
	c.low = low
	c.head = max(c.head, low)
}

// page is the page of number x; its slot may have belonged to a closed one.
func (c *client) page(x uint64) *page {
	i := x / pageSize
	p := &c.pages[i%uint64(len(c.pages))]
	if p.index != i {
		*p = page{index: i}
	}
	return p
}

// store keeps the outcome of x, executed at n (rule 4). value is copied.
func (t *clientTable) store(c *client, x, n, session uint64, status crypto.Status, value []byte) {
	w := uint64(len(c.bits)) * 64
	if c.ring == nil {
		c.ring = make([]reply, w)
	}
	i := x % w
	c.bits[i/64] |= 1 << (i % 64)
	r := c.reply(x)
	*r = reply{number: x, n: n, session: session, status: status}
	if len(value) > t.cfg.MaxCachedResult || len(value) > t.cfg.ReplyBytes {
		t.bury(r, value)
	} else {
		r.value = append([]byte(nil), value...)
		c.bytes += len(value)
		c.head = min(c.head, x)
	}
	for c.bytes > t.cfg.ReplyBytes {
		t.buryLowest(c)
	}
	c.lastN = n
	c.high = max(c.high, x+1)
	c.page(x).clean = false
	c.clean = false
}

func (t *clientTable) bury(r *reply, value []byte) {
	r.tombstone, r.value = true, nil
	r.digest, r.size = t.cfg.Cluster.ValueDigest(value), uint64(len(value))
}

// buryLowest turns the result of the lowest number that still has one into a
// tombstone.
func (t *clientTable) buryLowest(c *client) {
	for ; ; c.head++ {
		if !c.executed(c.head) {
			continue
		}
		r := c.reply(c.head)
		if r.tombstone || len(r.value) == 0 {
			continue
		}
		c.bytes -= len(r.value)
		t.bury(r, r.value)
		c.page(c.head).clean = false
		c.head++
		return
	}
}

// window is the client's state for the core.
func (c *client) window() consensus.Window {
	return consensus.Window{Client: c.name, Low: c.low, Bits: append([]uint64(nil), c.bits...)}
}

// root digests the table: a leaf per client in the order of their ids. Only
// what changed since the last call is hashed again.
func (t *clientTable) root() crypto.Digest {
	leaves := make([]crypto.Digest, len(t.sorted))
	for i, c := range t.sorted {
		if !c.clean {
			c.leaf, c.clean = t.leaf(c), true
		}
		leaves[i] = c.leaf
	}
	return t.cfg.Cluster.MerkleRoot(leaves)
}

func (t *clientTable) leaf(c *client) crypto.Digest {
	var pages []crypto.Digest
	w := uint64(len(c.bits)) * 64
	var b []byte
	for i := c.low / pageSize; i*pageSize < c.low+w; i++ {
		p := c.page(i * pageSize)
		if !p.clean {
			b = c.appendPage(b[:0], i)
			p.digest, p.clean = crypto.Digest{}, true
			if len(b) > 8 {
				p.digest = t.cfg.Cluster.Hash(crypto.TagClientPage, b)
			}
		}
		if !p.digest.IsZero() {
			pages = append(pages, p.digest)
		}
	}
	root := t.cfg.Cluster.MerkleRoot(pages)
	b = crypto.AppendString(b[:0], c.name)
	b = crypto.AppendU64(b, c.low)
	b = crypto.AppendU64(b, c.lastN)
	return t.cfg.Cluster.Hash(crypto.TagClient, b, root[:])
}

// appendPage appends the page's index and its executed numbers.
func (c *client) appendPage(b []byte, index uint64) []byte {
	b = crypto.AppendU64(b, index)
	for x := index * pageSize; x < (index+1)*pageSize; x++ {
		if !c.executed(x) {
			continue
		}
		r := c.reply(x)
		b = crypto.AppendU64(b, r.number)
		b = crypto.AppendU64(b, r.n)
		b = crypto.AppendU64(b, r.session)
		b = append(b, byte(r.status))
		if r.tombstone {
			b = append(b, 1)
			b = append(b, r.digest[:]...)
			b = crypto.AppendU64(b, r.size)
			continue
		}
		b = append(b, 0)
		b = crypto.AppendBytes(b, r.value)
	}
	return b
}
