package pbftclient

import (
	"time"

	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/wire"
)

// block collects what the replicas say of one batch's outcomes for a session.
type block struct {
	digests []crypto.Digest // by replica; zero: none
	full    []crypto.Result // from the first replica whose results came
	digest  crypto.Digest   // of full
	done    bool
}

// count is the number of replicas that said d.
func (b *block) count(d crypto.Digest) (k int) {
	for _, o := range b.digests {
		if o == d {
			k++
		}
	}
	return k
}

// maxBlocks bounds the batches that a session remembers while some replica has
// not answered.
const maxBlocks = 128

// deliver takes a response of replica k. It returns what to tell callers once
// the lock is free.
func (c *Client) deliver(k *conn, m *wire.SessionResponse) (finish []func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.Info != nil {
		c.introduced(k, m.Info)
	}
	for i := range m.Blocks {
		b := &m.Blocks[i]
		c.learn(k, b.View)
		if s := c.session(b.Handle); s != nil && c.cluster != nil {
			finish = s.block(finish, k.index, b)
		}
	}
	for i := range m.Singles {
		x := &m.Singles[i]
		c.learn(k, x.View)
		// The stream says who speaks, and the session ties the answer to this
		// program's request: the fields could be anybody's.
		if s := c.session(x.Handle); s != nil && c.cluster != nil {
			finish = s.single(finish, k.index, x)
		}
	}
	for i := range m.Refusals {
		if s := c.session(m.Refusals[i].Handle); s != nil {
			finish = s.refusal(finish, k.index, &m.Refusals[i])
		}
	}
	return finish
}

func (c *Client) session(handle uint32) *Session {
	if int(handle) < len(c.sessions) {
		return c.sessions[handle]
	}
	return nil
}

// introduced takes a replica's description of itself.
func (c *Client) introduced(k *conn, info *wire.ServerInfo) {
	k.clusterID = info.Cluster
	c.learn(k, info.View)
	if c.cluster == nil {
		equal := 0
		for _, o := range c.conns {
			if o.clusterID == info.Cluster {
				equal++
			}
		}
		if equal > c.f {
			id := info.Cluster
			c.cluster = &id
		}
	}
	l := limits{window: info.ClientWindow, group: info.MaxGroup, groupBytes: info.MaxGroupBytes, operation: info.MaxOperationBytes}
	if l.window > 0 && l.window <= 1<<20 && l.group > 0 && l.group <= crypto.MaxGroup && l.groupBytes > 0 && l.operation > 0 {
		c.limits = l
		for _, s := range c.sessions {
			s.room.Broadcast()
		}
	}
}

// block counts a reply block: f+1 replicas with one digest, and results that
// hash to it, answer everything in it.
func (s *Session) block(finish []func(), replica int, in *wire.Block) []func() {
	b := s.blocks[in.N]
	if b == nil {
		if s.newest = max(s.newest, in.N); len(s.blocks) >= maxBlocks {
			s.sweep()
		}
		b = &block{digests: make([]crypto.Digest, len(s.c.conns))}
		s.blocks[in.N] = b
	}
	digest := in.Digest
	if in.Results != nil {
		digest = s.digest(in.Results)
		if b.full == nil || b.count(digest) >= b.count(b.digest) { // the first one may have lied
			b.full, b.digest = in.Results, digest
		}
		finish = s.countRetried(finish, replica, in)
	}
	b.digests[replica] = digest
	if b.count(crypto.Digest{}) == 0 && b.done {
		delete(s.blocks, in.N)
	}
	if b.done || b.full == nil || b.count(b.digest) <= s.c.f {
		return finish
	}
	b.done = true
	if b.count(crypto.Digest{}) == 0 {
		delete(s.blocks, in.N)
	}
	for i := range b.full {
		if k := s.call(b.full[i].Number); k != nil {
			finish = append(finish, s.accept(k, &b.full[i]))
		}
	}
	b.full = nil
	return finish
}

// digest is the digest of a block's canonical list.
func (s *Session) digest(results []crypto.Result) crypto.Digest {
	var list []byte
	for i := range results {
		list = crypto.AppendResult(list, s.session, &results[i])
	}
	return s.c.cluster.BlockDigest(list)
}

// sweep forgets batches that are long past: what they held is asked for again.
func (s *Session) sweep() {
	for n, b := range s.blocks {
		if b.done && n+maxBlocks/4 < s.newest || n+4*maxBlocks < s.newest {
			delete(s.blocks, n)
		}
	}
	if len(s.blocks) >= 2*maxBlocks { // a liar invents numbers
		clear(s.blocks)
	}
}

// countRetried counts the results of a block one by one, for calls that went
// to all replicas: some of them may answer singly.
func (s *Session) countRetried(finish []func(), replica int, in *wire.Block) []func() {
	for i := range in.Results {
		if k := s.call(in.Results[i].Number); k != nil && k.retried {
			finish = s.vote(finish, k, replica, &in.Results[i])
		}
	}
	return finish
}

// single counts one replica's word about one request.
func (s *Session) single(finish []func(), replica int, x *wire.Single) []func() {
	finish = s.answerQuery(finish, replica, x)
	if k := s.call(x.Result.Number); k != nil && x.Session == s.session && x.Result.Status != crypto.StatusNotExecuted {
		finish = s.vote(finish, k, replica, &x.Result)
	}
	return finish
}

// vote counts a replica's newest word; f+1 equal ones are the outcome.
func (s *Session) vote(finish []func(), k *call, replica int, r *crypto.Result) []func() {
	var full *crypto.Result
	k.votes, full = addVote(k.votes, vote{replica, s.c.cluster.OutcomeOf(r), *r}, s.c.f)
	if full == nil {
		return finish
	}
	return append(finish, s.accept(k, full))
}

// addVote replaces the replica's vote, and returns a result once f+1 replicas
// vouch for it: in full, if one of them has it.
func addVote(votes []vote, v vote, f int) ([]vote, *crypto.Result) {
	kept := votes[:0]
	for _, o := range votes {
		if o.replica != v.replica {
			kept = append(kept, o)
		}
	}
	votes = append(kept, v)
	equal := 0
	best := &v.result
	for i := range votes {
		if votes[i].outcome == v.outcome {
			equal++
			if !votes[i].result.Tombstone {
				best = &votes[i].result
			}
		}
	}
	if equal > f {
		return votes, best
	}
	return votes, nil
}

// accept ends a call with the outcome that f+1 replicas vouch for.
func (s *Session) accept(k *call, r *crypto.Result) func() {
	switch r.Status {
	case crypto.StatusOK:
		return s.finish(k, Result{Number: k.number, N: r.N, View: s.c.view, Value: r.Value, Gone: r.Tombstone}, nil)
	case crypto.StatusExpired:
		return s.finish(k, Result{}, ErrExpired)
	default:
		return s.finish(k, Result{}, ErrNumberReused)
	}
}

// refusal takes note that a replica did not admit a group. What may pass is
// tried again; what f+1 replicas refuse for good ends the calls.
func (s *Session) refusal(finish []func(), replica int, in *wire.Refusal) []func() {
	final := in.Reason == pbftv1.RefusalReason_REFUSAL_REASON_INVALID || in.Reason == pbftv1.RefusalReason_REFUSAL_REASON_UNAUTHENTICATED
	now := time.Now()
	for x := max(in.First, s.oldest); x <= in.Last && x < s.top; x++ {
		k := s.call(x)
		if k == nil {
			continue
		}
		if !final {
			if at := now.Add(max(in.RetryAfter, minRetry)); !k.retried || at.After(k.retryAt) {
				k.retryAt = at
			}
			continue
		}
		if k.refused == nil {
			k.refused = make([]bool, len(s.c.conns))
		}
		k.refused[replica] = true
		count := 0
		for _, r := range k.refused {
			if r {
				count++
			}
		}
		if count > s.c.f {
			finish = append(finish, s.finish(k, Result{}, &RefusedError{Reason: reasonName(in.Reason), Message: in.Message, RetryAfter: in.RetryAfter}))
		} else {
			k.retryAt = now // ask the others whether they say so too
		}
	}
	return finish
}
