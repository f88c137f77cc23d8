package guard

import (
	"strings"
	"testing"
)

func TestAFigureFailsAboveItsBudgetAndFarBelowIt(t *testing.T) {
	const above, below = "raise the budget", "lower it"
	for _, c := range []struct {
		name string
		cost
		want string // part of the error; "": none
	}{
		{"at the budget", cost{figure: 100, budget: 100, slack: 2}, ""},
		{"at the tolerance", cost{figure: 112, budget: 100, slack: 2}, ""},
		{"above the tolerance", cost{figure: 112.5, budget: 100, slack: 2}, above},
		{"twice the budget", cost{figure: 200, budget: 100, slack: 2}, above},
		{"half the budget", cost{figure: 50, budget: 100, slack: 2}, ""},
		{"below half the budget", cost{figure: 49, budget: 100, slack: 2}, below},
		{"nothing left of the budget", cost{figure: 0, budget: 1, slack: 2}, below},
		{"nothing of nothing", cost{figure: 0, budget: 0, slack: 2}, ""},
		{"slack of a budget of nothing", cost{figure: 2, budget: 0, slack: 2}, ""},
		{"more than the slack of nothing", cost{figure: 3, budget: 0, slack: 2}, above},
		{"far below a bound", cost{figure: 1, budget: 100, bound: true}, ""},
		{"above a bound", cost{figure: 111, budget: 100, bound: true}, above},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.what = "allocations"
			err := c.check()
			switch {
			case c.want == "" && err != nil:
				t.Errorf("got error %q, want none", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "allocations: ")):
				t.Errorf("got error %v, want one of allocations that says %q", err, c.want)
			}
		})
	}
}
