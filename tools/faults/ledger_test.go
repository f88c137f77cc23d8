//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// round is what three clients did on one key, in an order that the times allow,
// with one operation that nobody knows the outcome of.
func round() []operation {
	return []operation{
		{Client: "a", Number: 1, Op: "put k x", Call: 10, Return: 20, Known: true, Result: "OK"},
		{Client: "b", Number: 1, Op: "get k", Call: 15, Return: 30, Known: true, Result: "x"},
		{Client: "c", Number: 1, Op: "put k z", Call: 25, Return: 26, Error: "outcome unknown"},
		{Client: "a", Number: 2, Op: "cas k x y", Call: 31, Return: 40, Known: true, Result: "MISMATCH z"},
		{Client: "b", Number: 0, Op: "put k never", Call: 32, Return: 33, Unsent: true, Error: "not sent"},
		{Client: "b", Number: 2, Op: "delete k", Call: 41, Return: 50, Known: true, Result: "OK"},
	}
}

// dumpOf is a dump of the operations with these places in a round.
func dumpOf(ops []operation, places ...int) (d []entry) {
	for _, i := range places {
		d = append(d, entry{ops[i].id(), fmt.Sprintf("%q", ops[i].Op)})
	}
	return d
}

func TestTheLedgerFindsWhatIsWrong(t *testing.T) {
	ops := round()
	all := []int{0, 1, 2, 3, 5}
	other := round()
	other[5].Op = "delete other"
	for _, tt := range []struct {
		name string
		dump []entry
		says string
	}{
		{"nothing", dumpOf(ops, all...), ""},
		{"one is missing", dumpOf(ops, 0, 1, 2, 3), `1 acknowledged operations are missing, the first: ["b", 2] delete k`},
		{"one is there twice", dumpOf(ops, 0, 1, 2, 3, 5, 5), `1 operations are there twice, the first: ["b", 2]`},
		{"one is another", append(dumpOf(ops, 0, 1, 2, 3), dumpOf(other, 5)...), `1 operations are there that nobody asked for`},
		{"one is a stranger's", append(dumpOf(ops, all...), entry{`"d", 1`, `"put k x"`}), `1 operations are there that nobody asked for`},
		{"a result is another's", dumpOf(ops, 0, 1, 3, 2, 5), `["a", 2] cas k x y was answered "MISMATCH z" and is "OK"`},
		{"the times forbid it", dumpOf(ops, 0, 2, 1, 5, 3), `stand behind one that was asked for after they were answered, the first: ["a", 2]`},
	} {
		problems := newLedger().take(ops, tt.dump)
		if tt.says == "" {
			if len(problems) > 0 {
				t.Errorf("%s: %q", tt.name, problems)
			}
			continue
		}
		if !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, tt.says) }) {
			t.Errorf("%s: found %q, not %q", tt.name, problems, tt.says)
		}
	}
}

func TestTheLedgerFindsAChangedPast(t *testing.T) {
	ops := round()
	for _, tt := range []struct {
		name string
		dump []entry
		says string
	}{
		{"the end is gone", dumpOf(ops, 0, 1), "the dump has 2 operations, it had 5 before"},
		{"two have changed places", dumpOf(ops, 1, 0, 2, 3, 5), "the dump is not as it was before: operation 0"},
		{"one came in again", dumpOf(ops, 0, 1, 2, 3, 5, 0), "1 operations are there twice"},
	} {
		l := newLedger()
		if p := l.take(ops, dumpOf(ops, 0, 1, 2, 3, 5)); len(p) > 0 {
			t.Fatal(p)
		}
		if p := l.take(nil, tt.dump); len(p) != 1 || !strings.Contains(p[0], tt.says) {
			t.Errorf("%s: found %q, not %q", tt.name, p, tt.says)
		}
	}
}

func TestAnOperationWithoutAnAnswerMayComeInALaterRound(t *testing.T) {
	ops := round()
	ops[3].Result, ops[3].Op = "z", "get k"
	ops[3].Result = "x" // as the put of z has not come yet
	l := newLedger()
	if p := l.take(ops, dumpOf(ops, 0, 1, 3, 5)); len(p) > 0 {
		t.Fatal(p)
	}
	next := []operation{{Client: "a", Number: 3, Op: "get k", Call: 60, Return: 70, Known: true, Result: "z"}}
	dump := append(dumpOf(ops, 0, 1, 3, 5, 2), dumpOf(next, 0)...)
	if p := l.take(next, dump); len(p) > 0 {
		t.Error(p)
	}
	if len(l.open) > 0 {
		t.Errorf("still open: %v", l.open)
	}
}

func TestOnlyLinearizableResultsPass(t *testing.T) {
	with := func(change func(ops []operation)) []operation {
		ops := round()
		change(ops)
		return ops
	}
	for _, tt := range []struct {
		name   string
		before map[string]value
		ops    []operation
		good   bool
	}{
		{"as it was", nil, round(), true},
		{"another key had something before", map[string]value{"other": "x"}, round(), true},
		{"the unknown one never happened", nil, with(func(ops []operation) { ops[3].Result = "OK" }), true},
		{"the read came first", nil, with(func(ops []operation) { ops[1].Result = notFound }), true},
		{"the read came first, of what was before", map[string]value{"k": "w"}, with(func(ops []operation) { ops[1].Result = "w" }), true},
		{"a result is not kept", nil, with(func(ops []operation) { ops[1].Result, ops[1].Gone = "", true }), true},
		{"a value from nowhere", nil, with(func(ops []operation) { ops[1].Result = "v" }), false},
		{"a stale read", nil, with(func(ops []operation) { ops[1].Call, ops[1].Result = 21, notFound }), false},
		{"the unknown one happened before it was asked for", nil, with(func(ops []operation) { ops[2].Call, ops[2].Return = 45, 46 }), false},
		{"what was never sent was read", nil, with(func(ops []operation) { ops[3].Result = "MISMATCH never" }), false},
		{"a write is lost", nil, with(func(ops []operation) { ops[5].Result = notFound }), false},
		{"what was before is lost", map[string]value{"k": "w"}, with(func(ops []operation) { ops[1].Result = notFound }), false},
	} {
		if p := checkLinear(tt.before, tt.ops); (len(p) == 0) != tt.good {
			t.Errorf("%s: %q", tt.name, p)
		}
	}
}

func TestTheModelIsTheServersStore(t *testing.T) {
	v := value("")
	for _, tt := range []struct{ op, result string }{
		{"get k", "NOT_FOUND"},
		{"delete k", "NOT_FOUND"},
		{"cas k a b", "NOT_FOUND"},
		{"put k a", "OK"},
		{"get k", "a"},
		{"cas k b c", "MISMATCH a"},
		{"cas k a b", "OK"},
		{"get k", "b"},
		{"delete k", "OK"},
		{"get k", "NOT_FOUND"},
	} {
		result, next := step(v, tt.op)
		if result != tt.result {
			t.Errorf("%s of %q is %q, want %q", tt.op, v, result, tt.result)
		}
		v = next
	}
}
