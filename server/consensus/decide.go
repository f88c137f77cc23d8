package consensus

import (
	"bytes"
	"cmp"
	"errors"
	"slices"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// The decision procedure of a view change (TOCS figure 4; docs/protocol.md
// section 7.3): what the new view starts with, as a function of the view
// changes that justify it. Primary and backups run the same code.

// decision is what a new view starts with.
type decision struct {
	h           uint64
	certificate *message.Certificate // of h
	top         uint64               // fresh proposals start above it
	chosen      []choice             // of the numbers h+1 to top
}

// choice is the digest at one number.
type choice struct {
	digest crypto.Digest
	null   bool // by B: nothing prepared can be lost; else selected by A
}

// errNeedMore says that the view changes at hand do not decide; more will.
var errNeedMore = errors.New("more view changes are needed")

// errTwoCertificates says that two states were certified at one number: more
// than f replicas are faulty.
var errTwoCertificates = errors.New("two certificates of different states at one number")

// decider decides one set of view changes.
type decider struct {
	c    *Config
	f, q int
	set  []*message.ViewChange // valid, for one view, of distinct senders, at least q
}

// decide runs the procedure. Its outcome does not depend on the order of set.
func (d *decider) decide() (*decision, error) {
	out, err := d.base()
	if err != nil {
		return nil, err
	}
	for n := out.h + 1; n <= out.h+d.c.Window; n++ {
		x, lifts, ok := d.number(n)
		if !ok {
			return nil, errNeedMore
		}
		out.chosen = append(out.chosen, x)
		if lifts {
			out.top = n
		}
	}
	out.chosen = out.chosen[:out.top-out.h] // what is dropped was decided by B
	return out, nil
}

// base finds the highest certified checkpoint. [differs] The paper counts
// claims of checkpoints; a certificate is a proof.
func (d *decider) base() (*decision, error) {
	best := d.set[0]
	for _, m := range d.set[1:] {
		switch {
		case m.H > best.H:
			best = m
		case m.H == best.H && m.H > 0 && m.Certificate.Votes[0].Digest != best.Certificate.Votes[0].Digest:
			return nil, errTwoCertificates
		}
	}
	return &decision{h: best.H, certificate: &best.Certificate, top: best.H}, nil
}

// number decides one number: lifts says that fresh proposals start above it.
func (d *decider) number(n uint64) (x choice, lifts, ok bool) {
	for _, e := range d.candidates(n) {
		if d.conditionA1(n, e) && d.conditionA2(n, e) {
			return choice{digest: e.Digest}, true, true
		}
	}
	if !d.conditionB(n) {
		return choice{}, false, false
	}
	null := choice{digest: d.c.Cluster.NullDigest(d.c.Epoch, n), null: true}
	return null, d.proposed(n) >= d.f+1, true
}

// candidates are the entries at n in the sets P, the highest view first.
func (d *decider) candidates(n uint64) (list []message.PQ) {
	for _, m := range d.set {
		if e, ok := entryAt(m.P, n); ok && !slices.Contains(list, e) {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b message.PQ) int {
		return cmp.Or(cmp.Compare(b.View, a.View), bytes.Compare(a.Digest[:], b.Digest[:]))
	})
	return list
}

// entryAt is the entry of P at n; there is at most one.
func entryAt(p []message.PQ, n uint64) (message.PQ, bool) {
	i, ok := slices.BinarySearchFunc(p, n, func(e message.PQ, n uint64) int { return cmp.Compare(e.N, n) })
	if !ok {
		return message.PQ{}, false
	}
	return p[i], true
}

// conditionA1: a quorum prepared nothing that contradicts e at n.
func (d *decider) conditionA1(n uint64, e message.PQ) bool {
	votes := 0
	for _, m := range d.set {
		if m.H >= n {
			continue
		}
		if own, ok := entryAt(m.P, n); !ok || own.View < e.View || own == e {
			votes++
		}
	}
	return votes >= d.q
}

// conditionA2: f+1 pre-prepared e's digest at n in its view or a later one, so
// a correct replica did, and holds its body. [differs] The paper's A3, that
// the primary has the body, is therefore no condition.
func (d *decider) conditionA2(n uint64, e message.PQ) bool {
	votes := 0
	for _, m := range d.set {
		if slices.ContainsFunc(m.Q, func(q message.PQ) bool {
			return q.N == n && q.Digest == e.Digest && q.View >= e.View
		}) {
			votes++
		}
	}
	return votes >= d.f+1
}

// conditionB: a quorum prepared nothing at n.
func (d *decider) conditionB(n uint64) bool {
	votes := 0
	for _, m := range d.set {
		if _, ok := entryAt(m.P, n); !ok && m.H < n {
			votes++
		}
	}
	return votes >= d.q
}

// proposed counts the replicas that pre-prepared something at n.
func (d *decider) proposed(n uint64) (count int) {
	for _, m := range d.set {
		if m.H < n && slices.ContainsFunc(m.Q, func(q message.PQ) bool { return q.N == n }) {
			count++
		}
	}
	return count
}

// digest is what a new view signs of its decision: h, the state certified
// there, and each number's digest and kind.
func (x *decision) digest(c crypto.ClusterID) crypto.Digest {
	b := crypto.AppendU64(nil, x.h)
	var state crypto.Digest
	if len(x.certificate.Votes) > 0 {
		state = x.certificate.Votes[0].Digest
	}
	b = append(b, state[:]...)
	b = crypto.AppendU32(b, uint32(len(x.chosen)))
	for i := range x.chosen {
		b = crypto.AppendU64(b, x.h+1+uint64(i))
		b = append(b, x.chosen[i].digest[:]...)
		kind := byte(0)
		if x.chosen[i].null {
			kind = 1
		}
		b = append(b, kind)
	}
	return c.Hash(crypto.TagNewView, b)
}
