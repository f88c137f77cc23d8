package log

import (
	"bytes"
	"strconv"
	"testing"

	"github.com/pbft-go/pbft/server/statemachine"
)

// FuzzApply appends operations of any bytes: one result each, and the same
// state in one batch as one by one.
func FuzzApply(f *testing.F) {
	f.Add([]byte("a"), []byte(""))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var together, alone statemachine.Results
		a, b := table{}, table{}
		ops := []string{string(first), string(second), string(first)}
		apply(a, &together, ops...)
		for _, op := range ops {
			apply(b, &alone, op)
		}
		if together.Len() != len(ops) || alone.Len() != len(ops) {
			t.Fatalf("%d and %d results of %d operations", together.Len(), alone.Len(), len(ops))
		}
		for i := range ops {
			if got := string(together.Get(i)); got != strconv.Itoa(i) || got != string(alone.Get(i)) {
				t.Fatalf("operation %d: %q in one batch, %q alone", i, got, alone.Get(i))
			}
		}
		if !bytes.Equal(a["length"], b["length"]) || !bytes.Equal(a["chain"], b["chain"]) {
			t.Fatal("batches enter the state")
		}
	})
}
