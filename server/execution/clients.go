package execution

import (
	"cmp"
	"container/heap"
	"slices"
	"strings"

	"github.com/pbft-go/pbft/crypto"
)

// clientTable makes execution exactly-once. It is replicated state: equal at
// all replicas, part of the checkpoint, changed by execution alone.
type clientTable struct {
	cfg    *Config
	byName map[string]*client
	sorted []*client // by id, for the root
	byAge  ageHeap   // for eviction
	last   *client   // the one looked up last
	recent *recent   // gets what becomes a tombstone

	// The digest under way, of the clients as they were when it began.
	leaves  []crypto.Digest // by id
	pending []*client       // whose leaf may be still to make
	scratch []byte

	periods []*clientPeriod // oldest first; the last one goes on
	period  uint64          // its number

	nextID uint64   // id on disk of the next client that gets one
	gone   []uint64 // ids of the clients evicted since the last save
}

func newClientTable(c *Config, r *recent) *clientTable {
	return &clientTable{cfg: c, byName: make(map[string]*client), recent: r}
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

// intern is a client's name, that of its entry if there is one.
func (t *clientTable) intern(name []byte) string {
	if c := t.find(name); c != nil {
		return c.name
	}
	return string(name)
}

// open finds or makes the entry of a client that executes at n. If the table
// is full the client with the smallest (last execution, id) is evicted: from
// replicated data alone, so all replicas evict the same one.
func (t *clientTable) open(name []byte, n uint64) (c *client, evicted *client) {
	if c := t.find(name); c != nil {
		t.firstChange(c)
		return c, nil
	}
	if len(t.byName) >= t.cfg.MaxClients {
		evicted = t.evict()
	}
	c = newClient(string(name), uint64(t.cfg.ClientWindow))
	c.lastN, c.age, c.period = n, n, t.period
	t.byName[c.name] = c
	i, _ := t.search(c.name)
	t.sorted = slices.Insert(t.sorted, i, c)
	heap.Push(&t.byAge, c)
	t.last = c
	return c, evicted
}

func (t *clientTable) search(name string) (int, bool) {
	return slices.BinarySearchFunc(t.sorted, name, func(c *client, name string) int { return strings.Compare(c.name, name) })
}

func (t *clientTable) evict() *client {
	// Ages only grow, so one that is not up to date puts its client too far
	// to the front: what is in front with the right age is the smallest.
	c := t.byAge[0]
	for ; c.age != c.lastN; c = t.byAge[0] {
		c.age = c.lastN
		heap.Fix(&t.byAge, 0)
	}
	heap.Pop(&t.byAge)
	t.firstChange(c)
	if c.id > 0 {
		t.gone = append(t.gone, c.id)
	}
	i, _ := t.search(c.name)
	t.sorted = slices.Delete(t.sorted, i, i+1)
	delete(t.byName, c.name)
	if t.last == c {
		t.last = nil
	}
	return c
}

// ageHeap orders clients by the last execution that it knows of, then by id.
type ageHeap []*client

func (h ageHeap) Len() int { return len(h) }
func (h ageHeap) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(h[i].age, h[j].age), strings.Compare(h[i].name, h[j].name)) < 0
}
func (h ageHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push and Pop implement heap.Interface.
func (h *ageHeap) Push(x any) { *h = append(*h, x.(*client)) }

// Pop removes the last one.
func (h *ageHeap) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return c
}

// settle stores the result of marked number x (rule 4). Results that are too
// large, and those of the lowest numbers beyond ReplyBytes, become tombstones.
func (t *clientTable) settle(c *client, x uint64, value []byte) {
	p, i := c.page(x), x%pageSize
	if len(value) > min(t.cfg.MaxCachedResult, t.cfg.ReplyBytes) {
		t.bury(c, p, i, value)
		return
	}
	p.put(i, false, value)
	c.bytes += len(value)
	c.head = min(c.head, p.index)
	for c.bytes > t.cfg.ReplyBytes {
		p, i := c.lowestKept()
		c.bytes -= len(p.value(i))
		t.bury(c, p, i, p.value(i))
	}
}

func (t *clientTable) bury(c *client, p *page, i uint64, value []byte) {
	r := &p.replies[i]
	t.recent.add(c.name, p.index*pageSize+i, r.session, r.n, value)
	p.bury(t.cfg.Cluster, i, value)
}

// begin begins to digest the table: a leaf per client in the order of their
// ids. It reports how many of them changed since the last time.
func (t *clientTable) begin() (changed int) {
	t.leaves, t.pending = slices.Grow(t.leaves[:0], len(t.sorted)), t.pending[:0]
	for i, c := range t.sorted {
		if !c.clean {
			t.pending, c.leafAt = append(t.pending, c), i+1
		}
		t.leaves = append(t.leaves, c.leaf)
	}
	return len(t.pending)
}

// firstChange takes what checkpoints need of a client that is about to change.
func (t *clientTable) firstChange(c *client) {
	t.makeLeaf(c)
	t.keep(c)
}

func (t *clientTable) makeLeaf(c *client) {
	if c.leafAt > 0 {
		c.leaf, c.clean = t.leaf(c), true
		t.leaves[c.leafAt-1], c.leafAt = c.leaf, 0
	}
}

// digest makes at most most leaves. It reports whether all are made.
func (t *clientTable) digest(most int) (done bool) {
	for ; len(t.pending) > 0 && most > 0; most-- {
		last := len(t.pending) - 1
		t.makeLeaf(t.pending[last])
		t.pending[last] = nil
		t.pending = t.pending[:last]
	}
	return len(t.pending) == 0
}

// root is the digest that begin began, when all leaves are made. It uses them
// up.
func (t *clientTable) root() crypto.Digest { return t.cfg.Cluster.MerkleRoot(t.leaves) }

// leaf digests one client: id, low, last execution, and the root over those of
// its pages that hold something.
func (t *clientTable) leaf(c *client) crypto.Digest {
	pages := make([]crypto.Digest, 0, len(c.pages))
	for i := range uint64(len(c.pages)) {
		p := c.held(c.low/pageSize + i)
		if p == nil {
			continue
		}
		if !p.clean {
			t.scratch = p.append(t.scratch[:0])
			p.digest, p.clean = t.cfg.Cluster.Hash(crypto.TagClientPage, t.scratch), true
		}
		pages = append(pages, p.digest)
	}
	root := t.cfg.Cluster.MerkleRoot(pages)
	b := crypto.AppendString(t.scratch[:0], c.name)
	b = crypto.AppendU64(b, c.low)
	b = crypto.AppendU64(b, c.lastN)
	b = append(b, root[:]...)
	t.scratch = b
	return t.cfg.Cluster.Hash(crypto.TagClient, b)
}
