package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
)

// workload makes operations, the same ones from the same seed. It belongs to
// one goroutine.
type workload struct {
	random  *rand.Rand
	kind    string
	keys    int
	digits  int
	size    int
	padding []byte
	fixed   []byte // the only operation, if there is one
}

// newWorkload makes the one of the client with the given index.
func newWorkload(o *benchOptions, index int) *workload {
	w := &workload{
		random: rand.New(rand.NewPCG(o.seed, uint64(index))),
		kind:   o.workload, keys: o.keys, digits: o.digits(), size: o.size,
	}
	w.padding = letters(w.random, o.size)
	if o.micro != nil {
		w.fixed = o.micro.operation(index, w.padding)
	}
	return w
}

// letters are n bytes of text.
func letters(random *rand.Rand, n int) []byte {
	const all = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"
	b := make([]byte, n)
	for i := range b {
		b[i] = all[random.IntN(len(all))]
	}
	return b
}

// digits is the width of a key's number.
func (o *benchOptions) digits() int { return len(strconv.Itoa(o.keys - 1)) }

// smallest is the least size of an operation, in bytes.
func (o *benchOptions) smallest() int {
	if o.workload == "log" || o.micro != nil {
		return 1
	}
	return len("put k ") + o.digits()
}

func (o *benchOptions) checkWorkload() error {
	switch o.workload {
	case "log", "kv-put", "kv-mixed", "0/0", "4/0", "0/4":
		return nil
	}
	return fmt.Errorf("--workload is %q, allowed are kv-put, kv-mixed, log, 0/0, 4/0 and 0/4", o.workload)
}

// suits checks that the cluster answers and runs what the workload is for.
func (o *benchOptions) suits(answers []statusAnswer) error {
	if err := checkQuorum(answers); err != nil {
		return err
	}
	instead := "log"
	switch o.workload {
	case "log", "0/0", "4/0":
		return nil // any bytes are an operation of the log
	case "0/4":
		instead = "0/0 or 4/0"
	}
	for i, a := range answers {
		if machine := a.value.GetStateMachine(); a.err == nil && machine == "log" {
			return misused{fmt.Errorf("--workload %s needs a key-value store, replica %d runs state machine %q: set state_machine: kv in the configuration, or take --workload %s", o.workload, i, machine, instead)}
		}
	}
	return nil
}

// next makes an operation in buf, if that is large enough, or gives the fixed
// one, which nobody may change.
func (w *workload) next(buf []byte) []byte {
	if w.fixed != nil {
		return w.fixed
	}
	op := buf[:0]
	if cap(op) < w.size {
		op = make([]byte, 0, w.size)
	}
	switch {
	case w.kind == "log":
		op = strconv.AppendUint(op, w.random.Uint64()>>11, 36)
		op = op[:min(len(op), w.size)]
	case w.kind == "kv-mixed" && w.random.Uint64()&1 == 0:
		return w.appendKey(append(op, "get k"...))
	default:
		op = append(w.appendKey(append(op, "put k"...)), ' ')
	}
	return append(op, w.padding[len(op):]...)
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
