package consensus

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestNumbersAreAMap(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var table numbers
		var spare [][]numbered
		model, base := map[uint64]*group{}, rnd.Uint64N(1<<40)
		for step := range 5000 {
			x := base + rnd.Uint64N(40)
			switch rnd.IntN(20) {
			case 0:
				base += rnd.Uint64N(100)
			case 1:
				x = base + maxSlots*rnd.Uint64N(4) // collides
			}
			switch old := model[x]; {
			case old == nil && rnd.IntN(3) > 0:
				model[x] = &group{}
				table.put(x, model[x], &spare)
			case table.count > 0 && rnd.IntN(2) == 0:
				table.remove(x, &spare)
				delete(model, x)
			}
			if rnd.IntN(300) == 0 { // everything leaves
				table.each(func(x uint64) { table.remove(x, &spare) })
				clear(model)
			}
			var all []uint64
			table.each(func(x uint64) { all = append(all, x) })
			slices.Sort(all)
			if want := slices.Sorted(maps.Keys(model)); !slices.Equal(all, want) || table.count != len(want) {
				t.Fatalf("seed %d, step %d: %d numbers %v, want %v", seed, step, table.count, all, want)
			}
			if got := table.get(x); got != model[x] {
				t.Fatalf("seed %d, step %d: %d is %p, want %p", seed, step, x, got, model[x])
			}
		}
		if len(spare) > 1 {
			t.Fatalf("%d spare tables of one client", len(spare))
		}
	}
}

func TestTablesOfIdleClientsAreBounded(t *testing.T) {
	var spare [][]numbered
	for range 2 * maxSpareSlots {
		var table numbers
		table.put(1, &group{}, &spare)
		table.put(1+minSlots, &group{}, &spare)
		table.remove(1, &spare)
		table.remove(1+minSlots, &spare)
		if table.slots != nil || len(spare) != 1 {
			t.Fatalf("table %v left, %d spare", table.slots, len(spare))
		}
	}
	many := make([]numbers, 2*maxSpareSlots)
	for i := range many {
		many[i].put(1, &group{}, &spare)
	}
	for i := range many {
		many[i].remove(1, &spare)
	}
	if len(spare) != maxSpareSlots {
		t.Fatalf("%d spare tables, allowed are %d", len(spare), maxSpareSlots)
	}
}
