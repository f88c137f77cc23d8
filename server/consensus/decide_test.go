package consensus

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

var decideSets = flag.Int("decide.sets", 25_000, "random sets of view changes per number of replicas")

// letter is a digest that a test can name.
func letter(c byte) (d crypto.Digest) {
	d[0] = c
	return d
}

// certified is a certificate of the one state that the tests know at h.
func certified(h uint64) (c message.Certificate) {
	if h > 0 {
		c.Votes = []message.Checkpoint{{N: h, Digest: letter(byte(h))}}
	}
	return c
}

// oracle decides by the words of the rule, on maps: for each number, what the
// set says of it.
func oracle(set []*message.ViewChange, q, f int, window uint64, null func(n uint64) crypto.Digest) (h, top uint64, chosen []choice, ok bool) {
	for _, m := range set {
		h = max(h, m.H)
	}
	top = h
	for n := h + 1; n <= h+window; n++ {
		prepared := map[int]message.PQ{}               // by index in set
		accepted := map[int]map[crypto.Digest]uint64{} // highest view
		for i, m := range set {
			for _, e := range m.P {
				if e.N == n {
					prepared[i] = e
				}
			}
			for _, e := range m.Q {
				if e.N == n {
					if accepted[i] == nil {
						accepted[i] = map[crypto.Digest]uint64{}
					}
					accepted[i][e.Digest] = max(e.View, accepted[i][e.Digest])
				}
			}
		}
		var passed []message.PQ
		for _, e := range prepared { //maporder: sorted below
			agree, vouch := 0, 0
			for i, m := range set {
				if p, has := prepared[i]; m.H < n && (!has || p.View < e.View || p.View == e.View && p.Digest == e.Digest) {
					agree++
				}
				if v, has := accepted[i][e.Digest]; has && v >= e.View {
					vouch++
				}
			}
			if agree >= q && vouch >= f+1 {
				passed = append(passed, e)
			}
		}
		if len(passed) > 0 {
			first := slices.MinFunc(passed, func(a, b message.PQ) int {
				return cmp.Or(cmp.Compare(b.View, a.View), bytes.Compare(a.Digest[:], b.Digest[:]))
			})
			chosen, top = append(chosen, choice{digest: first.Digest}), n
			continue
		}
		without, voted := 0, 0
		for i, m := range set {
			if _, has := prepared[i]; !has && m.H < n {
				without++
			}
			if m.H < n && len(accepted[i]) > 0 {
				voted++
			}
		}
		if without < q {
			return h, top, nil, false
		}
		chosen = append(chosen, choice{digest: null(n), null: true})
		if voted >= f+1 {
			top = n
		}
	}
	return h, top, chosen[:top-h], true
}

// randomSet makes view changes that are valid each, and agree on nothing.
func randomSet(rnd *rand.Rand, n int, c *Config) []*message.ViewChange {
	size := Quorum(n) + rnd.IntN(n-Quorum(n)+1)
	ids := rnd.Perm(n)[:size]
	views := 1 + rnd.Uint64N(4)
	rare := 1 + rnd.IntN(4) // how much the replicas have in common
	var set []*message.ViewChange
	for _, id := range ids {
		m := &message.ViewChange{Replica: message.ReplicaID(id), NewView: views, H: c.Interval * uint64(rnd.IntN(2)*rnd.IntN(2))}
		m.Certificate = certified(m.H)
		for x := m.H + 1; x <= m.H+c.Window; x++ {
			var at []message.PQ
			digests := []crypto.Digest{letter('a'), letter('b'), c.Cluster.NullDigest(c.Epoch, x)}
			for k, d := range digests {
				if rnd.IntN(rare+k) == 0 {
					at = append(at, message.PQ{N: x, Digest: d, View: rnd.Uint64N(views)})
				}
			}
			slices.SortFunc(at, func(a, b message.PQ) int { return bytes.Compare(a.Digest[:], b.Digest[:]) })
			m.Q = append(m.Q, at...)
			if len(at) > 0 && rnd.IntN(rare) == 0 {
				e := at[rnd.IntN(len(at))]
				e.View = rnd.Uint64N(e.View + 1)
				m.P = append(m.P, e)
			}
		}
		set = append(set, m)
	}
	return set
}

func TestSection7_3_DecisionAgreesWithTheOracle(t *testing.T) {
	for n := 4; n <= 7; n++ {
		rnd := rand.New(rand.NewPCG(uint64(n), 7))
		c := testConfig(n, 0)
		c.Interval, c.Window = 2, 4
		null := func(x uint64) crypto.Digest { return c.Cluster.NullDigest(c.Epoch, x) }
		decided, selected, undecided := 0, 0, 0
		for k := range *decideSets {
			set := randomSet(rnd, n, &c)
			d := decider{c: &c, f: MaxFaulty(n), q: Quorum(n), set: set}
			got, err := d.decide()
			h, top, chosen, ok := oracle(set, d.q, d.f, c.Window, null)
			switch {
			case ok != (err == nil) || err != nil && !errors.Is(err, errNeedMore):
				t.Fatalf("n %d, set %d: %v, the oracle decides: %v", n, k, err, ok)
			case err != nil:
				undecided++
				continue
			case got.h != h || got.top != top || !slices.Equal(got.chosen, chosen):
				t.Fatalf("n %d, set %d: %+v, the oracle has h %d, top %d, %+v", n, k, got, h, top, chosen)
			}
			decided++
			for _, x := range chosen {
				if !x.null {
					selected++
				}
			}
			rnd.Shuffle(len(set), func(i, j int) { set[i], set[j] = set[j], set[i] })
			again, err := d.decide()
			if err != nil || again.digest(c.Cluster) != got.digest(c.Cluster) {
				t.Fatalf("n %d, set %d: another order decides otherwise", n, k)
			}
		}
		if decided < *decideSets/20 || undecided < *decideSets/20 || selected < *decideSets/20 {
			t.Errorf("n %d: %d sets decided, %d not, %d numbers selected: the sets test too little", n, decided, undecided, selected)
		}
	}
}

func TestSection7_3_TwoCertificatesOfOneNumberAreNamed(t *testing.T) {
	c := testConfig(4, 0)
	var set []*message.ViewChange
	for i := range 3 {
		m := &message.ViewChange{Replica: message.ReplicaID(i), NewView: 1, H: c.Interval, Certificate: certified(c.Interval)}
		m.Certificate.Votes[0].Digest = letter(byte('x' + i/2))
		set = append(set, m)
	}
	if _, err := (&decider{c: &c, f: 1, q: 3, set: set}).decide(); !errors.Is(err, errTwoCertificates) {
		t.Fatalf("error %v", err)
	}
}
