package sim

import (
	"strings"
	"testing"
)

// toldLie is a behaviour, and what must come of it: counts of Coverage.
type toldLie struct {
	name  string
	bites []string
}

// runLies runs each lie with f liars, in plans that edit makes of clusters of 4
// and 7. They break nothing, and they are told, and noticed.
func runLies(t *testing.T, lies []toldLie, seeds int, edit func(p *Plan, n int, name string)) {
	for _, lie := range lies {
		t.Run(strings.ReplaceAll(lie.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			total := Coverage{}
			for seed := range uint64(seeds) {
				for _, n := range []int{4, 7} {
					o := options()
					o.Edit = func(p *Plan) { edit(p, n, lie.name) }
					r := Run(seed, o)
					if len(r.Violations) > 0 {
						t.Errorf("%d replicas: %s", n, r)
					}
					total.Add(r.Coverage)
				}
			}
			for _, what := range lie.bites {
				if total[what] == 0 {
					t.Errorf("nothing was counted as %q", what)
				}
			}
			t.Logf("\n%s", total)
		})
	}
}
