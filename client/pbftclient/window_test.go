package pbftclient

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestWindowFindsWhatIsOutstanding(t *testing.T) {
	const span = 100
	rng := rand.New(rand.NewPCG(1, 2))
	var w window
	model := map[uint64]*Call{}
	base := uint64(1 << 40)
	for range 20_000 {
		base += rng.Uint64N(3)
		x := base + rng.Uint64N(2*span)
		switch {
		case w.at(x) != nil:
			w.remove(w.at(x))
			delete(model, x)
		case w.fits(x, span):
			model[x] = &Call{}
			w.add(x).call = model[x]
		}
		if w.count != len(model) {
			t.Fatalf("%d outstanding, want %d", w.count, len(model))
		}
		if len(model) == 0 {
			continue
		}
		var want, got []uint64
		for x, call := range model {
			want = append(want, x)
			if s := w.at(x); s == nil || s.call != call {
				t.Fatalf("number %d is lost", x)
			}
		}
		w.each(func(s *slot) { got = append(got, s.number) })
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("outstanding %v, want %v", got, want)
		}
		if w.low != want[0] || w.high != want[len(want)-1]+1 || w.high-w.low > span {
			t.Fatalf("bounds %d and %d of %v", w.low, w.high, want)
		}
		if w.at(w.low-1) != nil || w.at(w.high) != nil || w.at(w.low+uint64(len(w.slots))) != nil {
			t.Fatal("a number that is not outstanding is found")
		}
	}
	if len(w.slots) > 128 {
		t.Errorf("a ring of %d for a span of %d", len(w.slots), span)
	}
}

func TestWindowEndsWhileItIsWalked(t *testing.T) {
	var w window
	for x := range uint64(40) {
		w.add(x * 3).call = &Call{}
	}
	n := 0
	w.each(func(s *slot) { n++; w.remove(s) })
	if n != 40 || w.count != 0 {
		t.Errorf("%d of 40 walked, %d left", n, w.count)
	}
}
