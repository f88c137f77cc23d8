//go:build linux

package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// value is what a key has: "" stands for nothing, as no client writes that.
type value string

const notFound = "NOT_FOUND"

// step is the key-value store of the server, with one key: what an operation
// answers, and what the key has after it.
func step(v value, op string) (result string, next value) {
	words := strings.Fields(op)
	switch {
	case words[0] == "put":
		return "OK", value(words[2])
	case v == "":
		return notFound, v
	case words[0] == "get":
		return string(v), v
	case words[0] == "delete":
		return "OK", ""
	case words[0] == "cas" && words[2] == string(v):
		return "OK", value(words[3])
	case words[0] == "cas":
		return "MISMATCH " + string(v), v
	}
	panic("the recorder asked for " + op)
}

func keyOf(op string) string { return strings.Fields(op)[1] }

// output is what came of an operation: nil if the client does not know.
type output *string

// linear is the same for Porcupine.
var linear = porcupine.Model{
	Init: func() any { return value("") },
	Step: func(state, in, out any) (bool, any) {
		result, next := step(state.(value), in.(string))
		said := out.(output)
		return said == nil || *said == result, next
	},
}

// linearTimeout is how long the operations of one key may take to be checked.
const linearTimeout = time.Minute

// checkLinear looks, key by key, for an order of the operations that explains
// every result and keeps to the times. before is what keys have at the start. An
// operation of which nothing is known may have happened at any time after its
// call, or not at all: then it comes last.
func checkLinear(before map[string]value, ops []operation) (problems []string) {
	byKey := map[string][]porcupine.Operation{}
	for key, v := range before {
		if v != "" {
			ok := "OK"
			byKey[key] = []porcupine.Operation{{Input: "put " + key + " " + string(v), Output: output(&ok), Call: 0, Return: 1}}
		}
	}
	for i := range ops {
		o := &ops[i]
		if o.Unsent {
			continue
		}
		p := porcupine.Operation{Input: o.Op, Output: output(nil), Call: o.Call, Return: math.MaxInt64}
		if o.Known {
			p.Return = o.Return
			if !o.Gone {
				p.Output = output(&o.Result)
			}
		}
		byKey[keyOf(o.Op)] = append(byKey[keyOf(o.Op)], p)
	}
	for key, history := range byKey {
		if r := porcupine.CheckOperationsTimeout(linear, history, linearTimeout); r != porcupine.Ok {
			problems = append(problems, fmt.Sprintf("the %d operations on %s are not linearizable: Porcupine says %s", len(history), key, r))
		}
	}
	slices.Sort(problems)
	return problems
}
