package sim

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/pbft-go/pbft/server/message"
)

// Options say how a seed is run.
type Options struct {
	Trace io.Writer   // gets one line per event; nil: none
	Edit  func(*Plan) // changes what was drawn, for runs with a purpose; nil: nothing

	// Ignore leaves out violations whose text holds one of these, to look
	// past what is known.
	Ignore []string
}

// Report is what became of a run.
type Report struct {
	Seed       uint64
	Plan       *Plan
	Violations []Violation
	Deliveries int    // messages that replicas got from replicas
	Requests   int    // that correct clients got answers to
	InTime     int    // of them, before Plan.End
	Faults     int    // planned, liars included
	Batches    int    // executed
	View       uint64 // the highest one that a correct replica was in
	Ticks      uint64 // how long the run was
	Hash       uint64 // of all that happened: equal seeds have equal ones
	Coverage   Coverage
}

// Run runs a seed to its end, or to the first violations. It uses the
// goroutine that calls it, and nothing but the seed decides what happens.
func Run(seed uint64, o Options) *Report {
	p := draw(seed)
	if o.Edit != nil {
		o.Edit(p)
	}
	w := newWorld(p, &o)
	w.trace.line(w, "%s", p)
	w.run()
	r := &Report{
		Seed: seed, Plan: p, Violations: w.check.violations, Deliveries: w.deliveries,
		Faults: len(p.Faults) + len(p.Liars), Batches: len(w.check.history.entries), InTime: w.live.inTime,
		Ticks: uint64(w.now / tick), Hash: w.hash, Coverage: w.cover,
	}
	for _, c := range w.clients {
		r.Requests += c.done
	}
	w.forgetful()
	for i := range w.hosts {
		if w.hosts[i].liar == nil {
			r.View = max(r.View, w.check.of[i].last)
		}
	}
	w.trace.line(w, "%s", r)
	return r
}

// forgetful counts what became of those who forgot what they promised.
func (w *world) forgetful() {
	for _, h := range w.hosts {
		switch {
		case h.liar != nil && h.status == message.Learner:
			w.cover.add("liars that became learners")
		case h.stale && h.status == message.Learner:
			w.cover.add("who forgot is a learner")
		case h.stale && !h.gone:
			w.cover.add("who forgot votes")
		}
	}
}

// Replay is the command that runs a seed again and shows all that happens.
func Replay(seed uint64) string {
	return fmt.Sprintf("go test ./server/sim -run TestSeed -seed=%d -trace", seed)
}

// broken names the invariants that the run broke.
func (r *Report) broken() string {
	var list []string
	for _, v := range r.Violations {
		if !slices.Contains(list, v.Invariant) {
			list = append(list, v.Invariant)
		}
	}
	if list == nil {
		return ""
	}
	return strings.Join(list, ", ") + " broken, "
}

// String tells of a run in one line, and of what it broke in as many as that
// takes.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %s%d deliveries, %d requests, %d faults, %d batches, view %d, %d ticks, hash %016x",
		r.Seed, r.broken(), r.Deliveries, r.Requests, r.Faults, r.Batches, r.View, r.Ticks, r.Hash)
	if len(r.Violations) > 0 {
		fmt.Fprintf(&b, "\n%s", r.Plan)
		for _, v := range r.Violations {
			fmt.Fprintf(&b, "%s\n", v)
		}
		fmt.Fprintf(&b, "replay: %s", Replay(r.Seed))
	}
	return b.String()
}
