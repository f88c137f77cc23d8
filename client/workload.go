package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
)

// slabSize is how many bytes of operations are allocated at once. A slab lives
// as long as an operation in it is in flight.
const slabSize = 64 << 10

// workload makes operations, the same ones from the same seed. It belongs to
// one goroutine.
type workload struct {
	random  *rand.Rand
	kind    string
	keys    int
	digits  int
	size    int
	padding []byte
	slab    []byte
}

// newWorkload makes the one of the client with the given index.
func newWorkload(o *benchOptions, index int) *workload {
	w := &workload{
		random: rand.New(rand.NewPCG(o.seed, uint64(index))),
		kind:   o.workload, keys: o.keys, digits: o.digits(), size: o.size,
		padding: make([]byte, o.size),
	}
	const letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"
	for i := range w.padding {
		w.padding[i] = letters[w.random.IntN(len(letters))]
	}
	return w
}

// digits is the width of a key's number.
func (o *benchOptions) digits() int { return len(strconv.Itoa(o.keys - 1)) }

// smallest is the least size of an operation, in bytes.
func (o *benchOptions) smallest() int {
	if o.workload == "log" {
		return 1
	}
	return len("put k ") + o.digits()
}

func (o *benchOptions) checkWorkload() error {
	switch o.workload {
	case "log", "kv-put", "kv-mixed":
		return nil
	}
	return fmt.Errorf("--workload is %q, allowed are kv-put, kv-mixed and log", o.workload)
}

// suits checks that the cluster answers and runs what the workload is for.
func (o *benchOptions) suits(answers []statusAnswer) error {
	if err := checkQuorum(answers); err != nil {
		return err
	}
	for i, a := range answers {
		if a.err == nil && o.workload != "log" && a.value.GetStateMachine() == "log" {
			return misused{fmt.Errorf("--workload %s needs a key-value store, replica %d runs state machine %q: set state_machine: kv in the configuration, or take --workload log", o.workload, i, a.value.GetStateMachine())}
		}
	}
	return nil
}

// next makes an operation, which nobody changes afterwards.
func (w *workload) next() []byte {
	if len(w.slab) < w.size {
		w.slab = make([]byte, max(slabSize, w.size))
	}
	op := w.slab[:0:w.size]
	switch {
	case w.kind == "log":
		op = strconv.AppendUint(op, w.random.Uint64()>>11, 36)
		op = op[:min(len(op), w.size)]
	case w.kind == "kv-mixed" && w.random.Uint64()&1 == 0:
		op = w.appendKey(append(op, "get k"...))
		w.slab = w.slab[w.size:]
		return op
	default:
		op = append(w.appendKey(append(op, "put k"...)), ' ')
	}
	op = append(op, w.padding[len(op):]...)
	w.slab = w.slab[w.size:]
	return op
}

// appendKey appends a key's number with leading zeros.
func (w *workload) appendKey(op []byte) []byte {
	x := w.random.IntN(w.keys)
	op = op[:len(op)+w.digits]
	for i := len(op) - 1; i >= len(op)-w.digits; i-- {
		op[i] = byte('0' + x%10)
		x /= 10
	}
	return op
}
