package execution

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/pbft-go/pbft/crypto"
)

// model is the client table as protocol and format describe it, without any
// thought of speed.
type model struct {
	cfg     *Config
	clients map[string]*modelClient
}

type modelClient struct {
	low, lastN uint64
	replies    map[uint64]*modelReply
}

type modelReply struct {
	n, session uint64
	tombstone  bool
	value      []byte
}

// execute runs requests that are answered by their data.
func (m *model) execute(n uint64, groups []crypto.GroupView) (results []crypto.Result) {
	type ran struct {
		at int
		c  *modelClient
		x  uint64
	}
	var runs []ran
	first := map[*modelReply]int{}
	w := uint64(m.cfg.ClientWindow)
	var req crypto.Request
	for i := range groups {
		g := &groups[i]
		c := m.open(string(g.Client))
		for cur := g.Cursor(); cur.Next(&req); {
			x := req.Number
			if x >= c.low && c.replies[x] == nil {
				if x >= c.low+w {
					c.low = x - w + 1
					for old := range c.replies {
						if old < c.low {
							delete(c.replies, old)
						}
					}
				}
				c.replies[x] = &modelReply{n: n, session: g.Session}
				c.lastN = n
				first[c.replies[x]] = len(results)
				runs = append(runs, ran{len(results), c, x})
				results = append(results, crypto.Result{N: n, Number: x, Status: crypto.StatusOK, Value: slices.Clone(req.Op)})
				continue
			}
			r := m.outcome(c, x, g.Session)
			if at, ok := first[c.replies[x]]; ok && r.Status == crypto.StatusOK {
				r = results[at]
			}
			results = append(results, r)
		}
	}
	for _, r := range runs {
		if s := r.c.replies[r.x]; s != nil && s.n == n {
			s.value = results[r.at].Value
			s.tombstone = len(s.value) > m.cfg.MaxCachedResult
			m.bury(r.c)
		}
	}
	return results
}

func (m *model) open(name string) *modelClient {
	if c := m.clients[name]; c != nil {
		return c
	}
	if len(m.clients) == m.cfg.MaxClients {
		gone := ""
		for name, c := range m.clients {
			if g := m.clients[gone]; g == nil || c.lastN < g.lastN || c.lastN == g.lastN && name < gone {
				gone = name
			}
		}
		delete(m.clients, gone)
	}
	m.clients[name] = &modelClient{replies: map[uint64]*modelReply{}}
	return m.clients[name]
}

func (m *model) bury(c *modelClient) {
	numbers := m.numbers(c)
	total := 0
	for _, x := range numbers {
		if !c.replies[x].tombstone {
			total += len(c.replies[x].value)
		}
	}
	for _, x := range numbers {
		if r := c.replies[x]; total > m.cfg.ReplyBytes && !r.tombstone && len(r.value) > 0 {
			total -= len(r.value)
			r.tombstone = true
		}
	}
}

func (m *model) numbers(c *modelClient) (list []uint64) {
	for x := range c.replies {
		list = append(list, x)
	}
	slices.Sort(list)
	return list
}

func (m *model) outcome(c *modelClient, x, session uint64) crypto.Result {
	s := c.replies[x]
	switch {
	case x < c.low:
		return crypto.Result{Number: x, Status: crypto.StatusExpired}
	case s.session != session:
		return crypto.Result{N: s.n, Number: x, Status: crypto.StatusRejected}
	case s.tombstone:
		return crypto.Result{N: s.n, Number: x, Status: crypto.StatusOK, Tombstone: true, Digest: m.cfg.Cluster.ValueDigest(s.value), Size: uint64(len(s.value))}
	}
	return crypto.Result{N: s.n, Number: x, Status: crypto.StatusOK, Value: s.value}
}

// root digests the table from scratch.
func (m *model) root() crypto.Digest {
	var names []string
	for name := range m.clients {
		names = append(names, name)
	}
	slices.Sort(names)
	h := m.cfg.Cluster
	var leaves []crypto.Digest
	for _, name := range names {
		c := m.clients[name]
		var pages []crypto.Digest
		var page []byte
		numbers := m.numbers(c)
		for i, x := range numbers {
			if len(page) == 0 {
				page = crypto.AppendU64(nil, x/64)
			}
			s := c.replies[x]
			r := m.outcome(c, x, s.session)
			page = crypto.AppendU64(page, x)
			page = crypto.AppendU64(page, s.n)
			page = crypto.AppendU64(page, s.session)
			page = append(page, byte(r.Status))
			if r.Tombstone {
				page = append(append(page, 1), r.Digest[:]...)
				page = crypto.AppendU64(page, r.Size)
			} else {
				page = crypto.AppendBytes(append(page, 0), r.Value)
			}
			if i+1 == len(numbers) || numbers[i+1]/64 != x/64 {
				pages = append(pages, h.Hash(crypto.TagClientPage, page))
				page = nil
			}
		}
		root := h.MerkleRoot(pages)
		b := crypto.AppendU64(crypto.AppendU64(crypto.AppendString(nil, name), c.low), c.lastN)
		leaves = append(leaves, h.Hash(crypto.TagClient, append(b, root[:]...)))
	}
	return h.MerkleRoot(leaves)
}

func TestClientTableIsTheModels(t *testing.T) {
	seeds := uint64(20)
	if testing.Short() {
		seeds = 3
	}
	for seed := range seeds {
		rnd := rand.New(rand.NewPCG(seed, 1))
		l := newLab(t, &echo{}, func(c *Config) { c.MaxClients, c.MaxCachedResult, c.ReplyBytes, c.ResultCache = 3, 60, 300, 0 })
		m := &model{cfg: &l.cfg, clients: map[string]*modelClient{}}
		base := map[string]uint64{}
		for range 300 {
			var groups []crypto.GroupView
			for range rnd.IntN(4) {
				groups = append(groups, randomGroup(t, rnd, base))
			}
			n := l.lastN + 1
			want := m.execute(n, groups)
			out := l.exec(groups...)
			compareWithModel(t, l, out, groups, want)
			if got := out.State.ClientsRoot; got != m.root() {
				t.Fatalf("seed %d, batch %d: clients root %s, from scratch %s", seed, n, got, m.root())
			}
			for name, c := range m.clients {
				for _, x := range m.numbers(c) {
					if r, session := l.Lookup(name, 0, x); session != c.replies[x].session || !equalResults(r, m.outcome(c, x, session)) {
						t.Fatalf("seed %d, batch %d: lookup of %s %d: %+v", seed, n, name, x, r)
					}
				}
			}
		}
	}
}

// randomGroup moves ahead slowly, repeats much, and jumps at times.
func randomGroup(t *testing.T, rnd *rand.Rand, base map[string]uint64) crypto.GroupView {
	name := string(rune('a' + rnd.IntN(5)*rnd.IntN(2)))
	if rnd.IntN(20) == 0 {
		base[name] += rnd.Uint64N(1000)
	}
	base[name] += rnd.Uint64N(8)
	x := base[name]
	var list []op
	for range 1 + rnd.IntN(12) {
		x += 1 + rnd.Uint64N(1+rnd.Uint64N(40))
		list = append(list, op{x, text(rnd.IntN(70) * rnd.IntN(2))})
	}
	return group(t, name, 1+rnd.Uint64N(8)/7, list...)
}

func compareWithModel(t *testing.T, l *lab, out *Output, groups []crypto.GroupView, want []crypto.Result) {
	t.Helper()
	blocks := map[string][]crypto.Result{}
	for i := range groups {
		g := &groups[i]
		key := fmt.Sprint(string(g.Client), g.Session)
		blocks[key] = append(blocks[key], want[:g.Count]...)
		want = want[g.Count:]
	}
	if len(blocks) != len(out.Blocks) {
		t.Fatalf("batch %d: %d blocks, want %d", l.lastN, len(out.Blocks), len(blocks))
	}
	for i := range out.Blocks {
		b := &out.Blocks[i]
		if want := blocks[fmt.Sprint(b.Client, b.Session)]; !slices.EqualFunc(b.Results, want, equalResults) {
			t.Fatalf("batch %d, %s %d:\n%+v, want\n%+v", l.lastN, b.Client, b.Session, b.Results, want)
		}
	}
}

// equalResults takes nil and empty values as equal.
func equalResults(a, b crypto.Result) bool {
	if len(a.Value) == 0 && len(b.Value) == 0 {
		a.Value, b.Value = nil, nil
	}
	return reflect.DeepEqual(a, b)
}
