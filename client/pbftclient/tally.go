package pbftclient

import (
	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/wire"
)

const (
	// recent is how many batches of one session a replica may be ahead of the
	// others before its oldest word is forgotten. What is lost that way is
	// asked for again.
	recent = 32
	// maxHeld bounds the results in bytes that wait, from one replica and for
	// all sessions, until others vouch for them. Above it a block counts as a
	// digest only.
	maxHeld = 32 << 20
)

// tally counts what the replicas say of a session's blocks. Each replica has a
// ring of its own, so that one that invents numbers only spoils its own.
type tally struct {
	rings   [][]ballot // by replica, batch n at n mod recent; nil: nothing came yet
	starved uint64     // batch that f+1 replicas agree on without results; 0: none
	since   int64      // when it starved
}

// ballot is one replica's word on one batch.
type ballot struct {
	n       uint64 // 0: none
	digest  crypto.Digest
	results []crypto.Result // in full, if they came
	size    int             // of results
	done    bool            // accepted: nothing is left to count
}

func (t *tally) at(replica int, n uint64) *ballot {
	return &t.rings[replica][n%recent]
}

// onBlock counts a reply block: f+1 replicas with one digest, and results that
// hash to it, answer every request in it. digest is that of the results where
// they are there.
func (s *Session) onBlock(k *conn, b *wire.Block, d blockDigest, ended []*Call) []*Call {
	if s.asked > 0 {
		for i := range b.Results {
			ended = s.vote(k.index, vote{session: s.session, result: b.Results[i]}, ended)
		}
	}
	equal, full := s.record(k, b, d)
	switch {
	case equal <= s.c.f:
		return ended
	case full == nil:
		if s.tally.starved == 0 {
			s.tally.starved, s.tally.since = b.N, s.c.now()
		}
		return ended
	}
	for i := range full.results {
		if r := s.out.at(full.results[i].Number); r != nil {
			if call := s.accept(r, &full.results[i]); call != nil {
				ended = append(ended, call)
			}
		}
	}
	s.settle(b.N)
	return ended
}

// record keeps a replica's word on a batch. It returns how many say the same,
// and one that has the results. Of a batch that was accepted none do.
func (s *Session) record(k *conn, b *wire.Block, d blockDigest) (equal int, full *ballot) {
	t := &s.tally
	if t.rings == nil {
		t.rings = make([][]ballot, len(s.c.conns))
	}
	if t.rings[k.index] == nil {
		t.rings[k.index] = make([]ballot, recent)
	}
	mine := t.at(k.index, b.N)
	if mine.n == b.N && mine.done {
		return 0, nil
	}
	s.c.release(k, mine)
	*mine = ballot{n: b.N, digest: d.digest}
	if len(b.Results) > 0 && k.held+d.size <= maxHeld {
		mine.results, mine.size = b.Results, d.size
		k.held += d.size
	}
	for replica := range t.rings {
		if t.rings[replica] == nil {
			continue
		}
		switch o := t.at(replica, b.N); {
		case o.n != b.N:
		case o.done:
			s.c.release(k, mine)
			mine.done = true
			return 0, nil
		case o.digest == d.digest:
			equal++
			if o.results != nil {
				full = o
			}
		}
	}
	return equal, full
}

// settle forgets what was said of a batch that is accepted.
func (s *Session) settle(n uint64) {
	t := &s.tally
	for replica := range t.rings {
		if t.rings[replica] == nil {
			continue
		}
		if o := t.at(replica, n); o.n == n {
			s.c.release(s.c.conns[replica], o)
			o.done = true
		}
	}
	if t.starved == n {
		t.starved = 0
	}
}

// release lets go of the results of a ballot.
func (c *Client) release(k *conn, b *ballot) {
	k.held -= b.size
	b.results, b.size = nil, 0
}

// accept ends a request with the outcome that f+1 replicas vouch for.
func (s *Session) accept(r *slot, result *crypto.Result) *Call {
	switch result.Status {
	case crypto.StatusOK:
		return s.end(r, s.c.resultOf(result), nil)
	case crypto.StatusExpired:
		return s.end(r, Result{}, ErrExpired)
	case crypto.StatusRejected:
		return s.end(r, Result{}, ErrNumberReused)
	}
	return nil // not executed, says an answer that counts for nothing
}
