package sim

import (
	"slices"
	"testing"
)

// liesA are the lies about proposals, requests and votes, and what must come of
// them: counts of Coverage.
var liesA = []toldLie{
	{"B03 false bodies", []string{
		"lie: B03 proposal with a false body", "lie: B03 false body in an answer",
		"messages refused by channels", "view change: bad_proposal", "rejected: bad_batch", "rejected: unsolicited",
	}},
	{"B04 withheld bodies", []string{
		"lie: B04 proposal to nobody", "lie: B04 proposal to one", "lie: B04 proposal to all but f", "lie: B04 no answer with a body",
		"accepted after a fetch", "view change: no_progress",
	}},
	{"B05 proposals to one less than a quorum", []string{"lie: B05 proposal to q-1", "accepted after a fetch"}},
	{"B06 gaps in numbers", []string{"lie: B06 proposal behind a gap", "null batches executed"}},
	{"B07 numbers outside the window", []string{
		"lie: B07 proposal above all windows", "lie: B07 proposal above the window", "lie: B07 proposal at the end of the window",
		"rejected: outside_window", "null batches executed",
	}},
	{"B08 numbers used again", []string{
		"lie: B08 proposal at a number used before", "lie: B08 proposal at a number that the new view decides",
		"rejected: below_top", "rejected: outside_window", "event: equivocation",
	}},
	{"B09 false requests", []string{
		"lie: B09 proposal with false requests", "lie: B09 relay of a false request",
		"messages refused by channels", "view change: bad_proposal",
	}},
	{"B10 requests again", []string{"lie: B10 proposal with requests again", "lie: B10 relay of a request again"}},
	{"B11 starves one client", []string{"lie: B11 proposal without the victim's requests", "view change: starved"}},
	{"B12 slow primary", []string{"lie: B12 proposal held back", "event: stalled"}},
	{"B13 wrong times", []string{
		"lie: B13 time out of this world", "lie: B13 time far off", "lie: B13 time that some take", "lie: B13 time that goes back",
		"event: clock skew",
	}},
	{"B14 votes for what nobody proposed", []string{"lie: B14 vote for an invented digest", "event: equivocation"}},
	{"B15 votes that flip", []string{"lie: B15 vote that is not the core's", "event: equivocation", "rejected: stale_vote"}},
	{"B16 votes for huge views and numbers", []string{"lie: B16 vote for a huge view or number", "rejected: outside_window"}},
	{"B17 votes without grounds", []string{"lie: B17 commit together with the proposal", "lie: B17 votes without grounds"}},
	{"B17 commits without prepares", []string{"lie: B17 commit together with the proposal", "lie: B17 votes without grounds"}},
	{"B19 silent in one phase", []string{"lie: B19 silence in a phase"}},
	{"B39 client that lies", []string{
		"lie: B39 request for some replicas only", "lie: B39 other content for each replica", "lie: B39 numbers that leap",
		"lie: B39 old numbers again", "lie: B39 flood", "lie: B39 groups at the limits", "lie: B39 forged group", "lie: B39 complaint",
		"refused: window_exceeded", "refused: bad_request", "forged groups at a port",
	}},
}

// inOffice is a plan of n replicas of which f lie. They lead from the beginning
// if the seed is even, else from the time on when replica 0 hands over.
func inOffice(p *Plan, n int, name string) {
	p.N = n
	p.Clocks = append(slices.Clone(p.Clocks), make([]ClockPlan, n)...)[:n]
	p.Liars = nil
	first := int(p.Seed % 2)
	for i := range p.F() {
		p.Liars = append(p.Liars, LiarPlan{Replica: first + i, Behaviours: []string{name}})
	}
	at := p.End / 6
	p.Faults = []Fault{{Kind: Complain, At: at, Until: at, Nodes: []int{n - 1}}}
	if first > 0 {
		p.Faults = []Fault{{Kind: Drain, At: at, Until: at, Nodes: []int{0}}}
	}
}

// TestLiarsA runs each of these lies with f liars. They break nothing, and they
// are told, and noticed.
func TestLiarsA(t *testing.T) { runLies(t, liesA, 4, inOffice) }
