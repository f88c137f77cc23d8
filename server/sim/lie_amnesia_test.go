package sim

import (
	"slices"
	"testing"
)

// liesC are the lies of who forgets, and what must come of them: counts of
// Coverage.
var liesC = []toldLie{
	{"B34 comes back empty", []string{"lie: B34 crash", "liars that became learners"}},
	{"B34 comes back as new", []string{"lie: B34 crash", "event: equivocation"}},
	{"B34 old backup", []string{"lie: B34 old backup", "liars that became learners"}},
	{"B34 old backup, told by nobody", []string{"lie: B34 old backup"}},
	{"B34 lost tail", []string{"lie: B34 lost tail", "liars that became learners"}},
	{"B34 lost tail, told by nobody", []string{"lie: B34 lost tail"}},
}

// forgetting is a plan of n replicas with disks, of which f forget again and
// again: those that lead first, or those behind them. All the others lose power
// once, and keep their disks.
func forgetting(p *Plan, n int, name string) {
	p.N, p.Durable = n, true
	p.Clocks = append(slices.Clone(p.Clocks), make([]ClockPlan, n)...)[:n]
	p.Liars, p.Faults = nil, nil
	first := int(p.Seed % 2)
	for i := range p.F() {
		p.Liars = append(p.Liars, LiarPlan{Replica: first + i, Behaviours: []string{name}})
	}
	for i := range n {
		if !p.lies(i) {
			p.Faults = append(p.Faults, Fault{Kind: Reboot, At: p.End / 2, Until: p.End/2 + int64(1+i)*tick, Nodes: []int{i}})
		}
	}
}

// TestLiarsC runs each of these lies with f liars. They break nothing, and they
// are told, and noticed.
func TestLiarsC(t *testing.T) { runLies(t, liesC, 6, forgetting) }

// TestWhoForgotStaysSilent: a replica that lost the end of its log, or has an old
// copy of its disk, learns that from the others in most cases, and then sends no
// vote ever again.
func TestWhoForgotStaysSilent(t *testing.T) {
	for _, kind := range []FaultKind{Tail, Backup} {
		total := Coverage{}
		for seed := range uint64(12) {
			r := Run(seed, Options{Edit: func(p *Plan) {
				plain(p)
				p.Durable, p.Disk, p.End = true, 2000, 3_000_000
				p.Faults = []Fault{
					{Kind: kind, At: 1_500_000, Until: 1_600_000, Nodes: []int{2}, Amount: pickAmount(kind, seed)},
					{Kind: Reboot, At: 2_000_000, Until: 2_050_000, Nodes: []int{2}},
				}
			}})
			if len(r.Violations) > 0 {
				t.Error(r)
			}
			total.Add(r.Coverage)
		}
		// Of the others some had saved a state that the log does not reach any more:
		// they halt.
		if k := total["who forgot is a learner"]; k < 6 {
			t.Errorf("%s: %d of 12 became learners\n%s", kind, k, total)
		}
	}
}

// pickAmount is how much a replica forgets: writes, or microseconds.
func pickAmount(kind FaultKind, seed uint64) int64 {
	if kind == Tail {
		return 3 + int64(seed)
	}
	return 100_000 * int64(1+seed)
}
