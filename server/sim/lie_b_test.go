package sim

import (
	"flag"
	"slices"
	"strings"
	"testing"
)

var liarSeedsFlag = flag.Int("liarseeds", 4, "how many seeds TestLiarsB runs for each lie and size; each lie needs a few to be told")

// liesB are the lies about views, checkpoints, state, statements, replies and
// status, and what must happen if they are told: counts of Coverage.
var liesB = []toldLie{
	{"B20 view change forgets", []string{"lie: B20 view change that forgets"}},
	{"B21 view change invents P", []string{"lie: B21 view change with an invented P"}},
	{"B22 view change invents Q", []string{"lie: B22 view change with an invented Q", "messages refused by channels"}},
	{"B23 view change with P without Q", []string{"lie: B23 view change with P without Q", "messages refused by channels"}},
	{"B24 two view changes for one view", []string{"lie: B24 second view change for a view"}},
	{"B25 forged certificates", []string{"lie: B25 view change with a forged certificate", "messages refused by channels"}},
	{"B26 abdicates again and again", []string{"lie: B26 abdication", "view change: abdication"}},
	{"B26 asks for each next view", []string{"lie: B26 view change against another one's view", "view change: abdication"}},
	{"B26 asks for far views", []string{"lie: B26 view change for a far view"}},
	{"B27 bad new views", []string{"lie: B27 new view that nobody asked for", "rejected: bad_new_view", "rejected: not_primary", "view change: bad_new_view"}},
	{"B28 two new views", []string{"lie: B28 second new view for a view"}},
	{"B29 new view without its view changes", []string{"lie: B29 new view that names what nobody gets", "lie: B29 view change not served", "view change: new_view_late"}},
	{"B30 false checkpoint votes", []string{"lie: B30 vote before there is a state", "lie: B30 vote for a state that nobody has", "rejected: not_boundary", "event: equivocation", "event: split"}},
	{"B31 false state", []string{"lie: B31 part of a state that nobody asked for", "lie: B31 part of a state wrong", "states refused"}},
	{"B31 state that never ends", []string{"lie: B31 piece that never ends", "lie: B31 leaves one by one"}},
	{"B32 false statements", []string{"lie: B32 false statement about what is committed"}},
	{"B33 false replies", []string{"lie: B33 false block", "lie: B33 answer to what was not executed", "lie: B33 false reply to a replica"}},
	{"B36 false status", []string{"lie: B36 status of far numbers", "lie: B36 status that lacks everything", "lie: B36 status of a far view"}},
	{"B36 floods of questions", []string{"lie: B36 flood of questions", "messages refused by channels", "rejected: too_large"}},
	{"B40 colluding primaries", []string{"lie: B40 view wasted by silence", "lie: B40 view wasted by equivocation", "lie: B40 view wasted by a bad new view"}},
}

// lying is a plan of n replicas of which the first f lie, or the last f, or
// those from the second on. The one before them loses its links at times, for so
// long that it needs the state of others: it asks a liar first.
func lying(p *Plan, n int, name string) {
	p.N = n
	p.Clocks = append(slices.Clone(p.Clocks), make([]ClockPlan, n)...)[:n]
	p.Liars = nil
	f := p.F()
	first := []int{0, 1, n - f}[p.Seed%3]
	for i := range f {
		p.Liars = append(p.Liars, LiarPlan{Replica: first + i, Behaviours: []string{name}})
	}
	p.HistoryKB = 4
	p.Faults = nil
	if strings.HasPrefix(name, "B3") || p.Seed%2 == 1 {
		p.Faults = append(p.Faults, Fault{Kind: Cut, At: p.End / 8, Until: p.End * 3 / 4, Nodes: []int{(first + n - 1) % n}})
	}
}

// TestLiarsB runs each of these lies with f liars. They break nothing, and they
// are told.
func TestLiarsB(t *testing.T) { runLies(t, liesB, *liarSeedsFlag, lying) }
