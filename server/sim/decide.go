package sim

import (
	"bytes"
	"slices"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
)

// This is the decision procedure of a view change once more, written for
// reading from docs/protocol.md section 7.3 and not from the core, so that a
// run compares two implementations.

// decision is what a new view starts with.
type decision struct {
	h, top uint64
	state  crypto.Digest // certified at h
	chosen []choice      // of h+1 to top
	ok     bool          // false: the view changes do not decide
}

type choice struct {
	digest crypto.Digest
	null   bool
}

// at is the choice at n.
func (d *decision) at(n uint64) (choice, bool) {
	if n <= d.h || n > d.top {
		return choice{}, false
	}
	return d.chosen[n-d.h-1], true
}

// decide decides a set of view changes for one view.
func decide(p *Plan, set []*message.ViewChange) *decision {
	d := &decision{}
	for _, m := range set {
		if m.H > d.h {
			d.h = m.H
			d.state = m.Certificate.Votes[0].Digest
		}
	}
	d.top = d.h
	q, weak := consensus.Quorum(p.N), consensus.WeakQuorum(p.N)
	for n := d.h + 1; n <= d.h+p.Window; n++ {
		x, lifts, ok := decideAt(set, n, q, weak)
		if !ok {
			return d
		}
		d.chosen = append(d.chosen, x)
		if lifts {
			d.top = n
		}
	}
	d.chosen = d.chosen[:d.top-d.h]
	d.ok = true
	return d
}

func decideAt(set []*message.ViewChange, n uint64, q, weak int) (x choice, lifts, ok bool) {
	type prepared struct {
		view   uint64
		digest crypto.Digest
	}
	var candidates []prepared
	none, proposed := 0, 0
	for _, m := range set {
		had := false
		for _, e := range m.P {
			if e.N == n {
				had = true
				candidates = append(candidates, prepared{e.View, e.Digest})
			}
		}
		if !had && m.H < n {
			none++
		}
		if m.H < n && slices.ContainsFunc(m.Q, func(e message.PQ) bool { return e.N == n }) {
			proposed++
		}
	}
	slices.SortFunc(candidates, func(a, b prepared) int {
		if a.view != b.view {
			return int(b.view) - int(a.view)
		}
		return bytes.Compare(a.digest[:], b.digest[:])
	})
	for _, c := range candidates {
		contradict, vouch := 0, 0
		for _, m := range set {
			if m.H >= n || slices.ContainsFunc(m.P, func(e message.PQ) bool {
				return e.N == n && (e.View > c.view || e.View == c.view && e.Digest != c.digest)
			}) {
				contradict++
			}
			if slices.ContainsFunc(m.Q, func(e message.PQ) bool { return e.N == n && e.Digest == c.digest && e.View >= c.view }) {
				vouch++
			}
		}
		if len(set)-contradict >= q && vouch >= weak {
			return choice{digest: c.digest}, true, true
		}
	}
	return choice{clusterID.NullDigest(0, n), true}, proposed >= weak, none >= q
}

// digest is what a new view signs of the decision.
func (d *decision) digest() crypto.Digest {
	b := crypto.AppendU64(nil, d.h)
	b = append(b, d.state[:]...)
	b = crypto.AppendU32(b, uint32(len(d.chosen)))
	for i, x := range d.chosen {
		b = crypto.AppendU64(b, d.h+1+uint64(i))
		b = append(b, x.digest[:]...)
		kind := byte(0)
		if x.null {
			kind = 1
		}
		b = append(b, kind)
	}
	return clusterID.Hash(crypto.TagNewView, b)
}
