package sim

import (
	"sync"
	"testing"
)

// TestDurableRunsHappenTwice (I24): the database works in goroutines of its own,
// and nothing that they do shows. So a run is the same beside others as alone.
func TestDurableRunsHappenTwice(t *testing.T) {
	edit := func(p *Plan) {
		p.Durable, p.SaveBytes, p.HistoryKeep = true, 2<<10, 4<<10
		for i := range p.N {
			if !p.lies(i) {
				p.Faults = append(p.Faults, Fault{
					Kind: Reboot, At: p.End / 2, Until: p.End * 2 / 3, Nodes: []int{i}, Amount: 2, InSave: i%2 == 0,
				})
			}
		}
	}
	seeds := uint64(12)
	if testing.Short() {
		seeds = 3
	}
	reports := [2][]*Report{make([]*Report, seeds), make([]*Report, seeds)}
	var wg sync.WaitGroup
	for seed := range seeds {
		reports[0][seed] = Run(seed, Options{Edit: edit})
	}
	for seed := range seeds {
		wg.Go(func() { reports[1][seed] = Run(seed, Options{Edit: edit}) })
	}
	wg.Wait()
	saves := 0
	for seed := range seeds {
		a, b := reports[0][seed], reports[1][seed]
		if a.Hash != b.Hash || a.Coverage.String() != b.Coverage.String() {
			t.Errorf("seed %d: hash %016x and %016x\n%s\n%s", seed, a.Hash, b.Hash, a.Coverage, b.Coverage)
		}
		if len(a.Violations) > 0 {
			t.Error(a)
		}
		saves += a.Coverage["power failed: within a save"]
	}
	if saves == 0 {
		t.Error("power never failed within a save")
	}
}
