//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
)

// ledger holds what a cluster executed, as far as it was compared with what
// clients know, over several rounds. What stands in it must never change.
type ledger struct {
	entries []entry
	seen    map[string]bool      // ids of entries
	open    map[string]operation // may be executed yet
	values  map[string]value     // of keys, after entries
}

func newLedger() *ledger {
	return &ledger{seen: map[string]bool{}, open: map[string]operation{}, values: map[string]value{}}
}

// tally counts findings of one kind and keeps the first.
type tally struct {
	count int
	first string
}

func (t *tally) add(format string, args ...any) {
	if t.count++; t.count == 1 {
		t.first = fmt.Sprintf(format, args...)
	}
}

// take compares what clients recorded in a round, all that they did since the
// one before, with the dump after it, which must hold everything. It returns
// what is wrong.
func (l *ledger) take(ops []operation, dump []entry) (problems []string) {
	if len(dump) < len(l.entries) {
		return []string{fmt.Sprintf("the dump has %d operations, it had %d before", len(dump), len(l.entries))}
	}
	if d := difference(dump[:len(l.entries)], l.entries); d != "" {
		return []string{"the dump is not as it was before: " + d}
	}
	asked := maps.Clone(l.open)
	for _, o := range ops {
		if o.Number != 0 { // else nothing was sent
			asked[o.id()] = o
		}
	}
	before := maps.Clone(l.values)
	executed, problems := l.replay(asked, dump[len(l.entries):])
	l.entries = dump

	var missing tally
	for _, o := range ops {
		if o.Known && !executed[o.id()] {
			missing.add("[%s] %s", o.id(), o.Op)
		}
	}
	if missing.count > 0 {
		problems = append(problems, fmt.Sprintf("%d acknowledged operations are missing, the first: %s", missing.count, missing.first))
	}
	for id, o := range l.open {
		if executed[id] {
			ops = append(ops, o) // an earlier round's
		}
	}
	problems = append(problems, checkLinear(before, ops)...)
	l.open = map[string]operation{}
	for id, o := range asked {
		if !executed[id] && !o.Known {
			l.open[id] = o
		}
	}
	return problems
}

// replay executes what is new in a dump: every operation must have been asked
// for, stand there once, have had that result, and not come behind one that was
// asked for only after it was answered.
func (l *ledger) replay(asked map[string]operation, dump []entry) (executed map[string]bool, problems []string) {
	var twice, strange, wrong, late tally
	executed = make(map[string]bool, len(dump))
	latest := int64(math.MinInt64) // call of what came before
	for _, e := range dump {
		if l.seen[e.id] {
			twice.add("[%s] %s", e.id, e.op)
			continue
		}
		l.seen[e.id] = true
		executed[e.id] = true
		o, known := asked[e.id]
		var op string
		if !known || json.Unmarshal([]byte(e.op), &op) != nil || op != o.Op {
			strange.add("[%s] %s", e.id, e.op)
			continue
		}
		key := keyOf(op)
		result, next := step(l.values[key], op)
		l.values[key] = next
		if o.Known && !o.Gone && result != o.Result {
			wrong.add("[%s] %s was answered %q and is %q", e.id, op, o.Result, result)
		}
		if o.Known && o.Return < latest {
			late.add("[%s] %s", e.id, op)
		}
		latest = max(latest, o.Call)
	}
	for _, x := range []struct {
		tally
		what string
	}{
		{twice, "operations are there twice"},
		{strange, "operations are there that nobody asked for"},
		{wrong, "operations had results of another order"},
		{late, "operations stand behind one that was asked for after they were answered"},
	} {
		if x.count > 0 {
			problems = append(problems, fmt.Sprintf("%d %s, the first: %s", x.count, x.what, x.first))
		}
	}
	return executed, problems
}
