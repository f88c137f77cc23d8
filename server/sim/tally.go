package sim

import (
	"bytes"
	"math/bits"
	"slices"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
)

// ballot is what a client was told of one of its blocks.
type ballot struct {
	n     uint64
	votes []blockVote // one per replica
	done  bool
}

type blockVote struct {
	replica int
	digest  crypto.Digest
	results []crypto.Result
}

// ballots is how many batches a client keeps the words about.
const ballots = 32

// receive takes what a replica says.
func (c *client) receive(from int, a *Answer) {
	c.learn(from, a.View)
	switch {
	case a.Refused != consensus.OK:
		c.refused(a)
	case a.Agreed:
		if c.plan.Mode == ModeUnary && from < c.w.plan.N {
			c.accept(&a.Results[0], a.Session, 0, from)
		}
	case a.N > 0:
		c.onBlock(from, a)
	case a.Posted == (c.plan.Mode == ModePosted) && c.plan.Mode != ModeUnary:
		c.onSingle(from, a)
	}
}

// learn moves to the highest view that f+1 replicas have reached.
func (c *client) learn(from int, view uint64) {
	if view <= c.views[from] {
		return
	}
	c.views[from] = view
	sorted := slices.Clone(c.views)
	slices.Sort(sorted)
	c.view = max(c.view, sorted[len(sorted)-1-c.w.plan.F()])
}

// refused sends what was refused to the primary again, after a while.
func (c *client) refused(a *Answer) {
	for _, x := range a.Numbers {
		if r := c.find(x); r != nil && r.again == 0 && c.plan.Mode == ModeStream {
			r.again = c.w.now + c.w.plan.Retry/8
		}
	}
}

// onBlock counts f+1 equal digests, of which one brings the results.
func (c *client) onBlock(from int, a *Answer) {
	if c.plan.Mode != ModeStream && c.plan.Mode != ModeFlood || a.Session != c.session {
		return
	}
	i := slices.IndexFunc(c.blocks, func(b ballot) bool { return b.n == a.N })
	if i < 0 {
		if len(c.blocks) == ballots {
			c.blocks = c.blocks[1:]
		}
		i = len(c.blocks)
		c.blocks = append(c.blocks, ballot{n: a.N})
	}
	b := &c.blocks[i]
	if b.done {
		return
	}
	v := blockVote{replica: from, digest: a.Digest, results: a.Results}
	if k := slices.IndexFunc(b.votes, func(o blockVote) bool { return o.replica == from }); k >= 0 {
		b.votes[k] = v
	} else {
		b.votes = append(b.votes, v)
	}
	var who uint64
	var full []crypto.Result
	for _, o := range b.votes {
		if o.digest == a.Digest {
			who |= 1 << o.replica
			if full == nil && hashes(a.Session, o.results, a.Digest) {
				full = o.results
			}
		}
	}
	if bits.OnesCount64(who) <= c.w.plan.F() || full == nil {
		return
	}
	b.done, b.votes = true, nil
	for i := range full {
		c.accept(&full[i], a.Session, who, -1)
	}
}

// hashes reports whether results are those of a block's digest.
func hashes(session uint64, results []crypto.Result, d crypto.Digest) bool {
	var h crypto.BlockHasher
	h.Reset(clusterID)
	for i := range results {
		h.Add(session, &results[i])
	}
	return h.Sum() == d
}

// onSingle counts f+1 equal outcomes of one request.
func (c *client) onSingle(from int, a *Answer) {
	res := &a.Results[0]
	r := c.find(res.Number)
	if r == nil || a.Session != r.group.Session || res.Status == crypto.StatusNotExecuted {
		return
	}
	v := vote{replica: from, session: a.Session, outcome: clusterID.OutcomeOf(res), result: *res}
	var equal int
	var best *vote
	if r.votes, equal, best = cast(r.votes, v); equal <= c.w.plan.F() {
		return
	}
	var who uint64
	for _, o := range r.votes {
		if o.outcome == v.outcome && o.session == v.session {
			who |= 1 << o.replica
		}
	}
	c.accept(&best.result, a.Session, who, -1)
}

// accept ends a request with an outcome that f+1 replicas vouch for: those in
// who, or those that a gateway asked.
func (c *client) accept(res *crypto.Result, session, who uint64, gateway int) {
	r := c.find(res.Number)
	if r == nil || session != r.group.Session {
		return
	}
	i := slices.Index(c.open, r)
	c.open = slices.Delete(c.open, i, i+1)
	c.done++
	if !res.Tombstone && len(res.Value) < 64 && !bytes.Contains(res.Value, []byte(" ")) {
		c.lastValue = string(res.Value)
	}
	c.w.check.answered(c, r, res, who, gateway)
}
