package guard

import (
	"fmt"
	"testing"
)

// budget is what one path may cost, a batch being batchSize requests.
type budget struct {
	path  string
	start func(testing.TB) path
	warm  int // batches until the path is in its steady state
	cycle int // batches after which its work repeats itself: those measured

	allocations  float64 // per batch
	bytes        float64 // allocated per request
	instructions float64 // in user space per request, an upper bound
}

// budgets are the figures of Go 1.26 on 64 bits; go test -v prints the present
// ones.
//
// The instructions are upper bounds: no counter was at hand. They are what
// stepping one by one through a batch gave, on an amd64 processor with SHA
// instructions, and about 15 % more; the checkpoint's part of execute is
// estimated by its time. Time alone is no bound: these paths run at up to 14
// instructions per ns. Whoever has a counter puts its figures here and takes
// bound away.
var budgets = []budget{
	{path: "request", start: newRequestPath, warm: 2, cycle: 16, allocations: 20, bytes: 172, instructions: 1400},
	{path: "proposal", start: newProposalPath, warm: 2, cycle: 16, allocations: 11, bytes: 0.8, instructions: 850},
	{path: "order", start: newOrderPath, warm: windowSize, cycle: interval, allocations: 103, bytes: 110, instructions: 950},
	{path: "execute", start: newExecutePath, warm: 4 * interval, cycle: interval, allocations: 5, bytes: 4.5, instructions: 3100},
	{path: "reply", start: newReplyPath, warm: 2, cycle: 16, allocations: 8, bytes: 99, instructions: 1500},
}

// What a figure may lie above its budget: Go seeds its maps anew in each run,
// and each version of Go allocates a little differently.
const (
	tolerance        = 0.10 // of the budget, and besides
	slackAllocations = 2    // per batch
	slackBytes       = 0.5  // per request
)

// cost is a measured figure beside its budget.
type cost struct {
	what   string
	figure float64
	budget float64
	slack  float64 // what the figure may lie above the budget, beside tolerance
	bound  bool    // the budget is an upper bound only: any smaller figure is fine
}

// check reports a figure that is too high, or so low that its budget would let
// it double unseen.
func (c cost) check() error {
	most := c.budget*(1+tolerance) + c.slack
	switch {
	case c.figure > most:
		return fmt.Errorf("%s: %.1f, the budget is %g and with its tolerance at most %.1f: find what the change costs, or raise the budget in budget_test.go and say why in the commit",
			c.what, c.figure, c.budget, most)
	case !c.bound && c.figure < c.budget/2:
		return fmt.Errorf("%s: %.1f, the budget is %g: lower it in budget_test.go, or what was gained here may be lost unseen",
			c.what, c.figure, c.budget)
	}
	return nil
}
