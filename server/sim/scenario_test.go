package sim

import (
	"testing"

	"github.com/pbft-go/pbft/server/message"
)

// TestFPlusOneViewChangesMoveEverybody stops the primary of four replicas. Only
// two of the others ever hear of a request, so the third one never waits for
// anything; it must ask for the next view because f+1 others do.
func TestFPlusOneViewChangesMoveEverybody(t *testing.T) {
	p := draw(1)
	plain(p)
	p.MaxTimeout = 400
	p.Faults = []Fault{{Kind: Stop, Nodes: []int{0}}}
	w := newWorld(p, &Options{})
	w.net.hold(+1, func(from, to int) bool { return from >= p.N && to == 3 })
	w.net.drop = func(_, to int, m message.Message) bool {
		_, relay := m.(*message.Relay)
		return relay && to == 3
	}
	w.run()
	if len(w.check.violations) > 0 {
		t.Error(w.check.violations)
	}
	if w.cover["view change: joined"] == 0 {
		t.Errorf("nobody joined:\n%s", w.cover)
	}
}
