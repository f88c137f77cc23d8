package log

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"testing"

	"github.com/pbft-go/pbft/server/statemachine"
)

// table is a state that a test can look into.
type table map[string][]byte

func (s table) Prefetch([][]byte) {}

func (s table) Get(key []byte) ([]byte, bool) {
	v, ok := s[string(key)]
	return v, ok
}

func (s table) Put(key, value []byte) { s[string(key)] = append([]byte(nil), value...) }
func (s table) Delete(key []byte)     { delete(s, string(key)) }

func apply(st statemachine.State, r *statemachine.Results, ops ...string) {
	var b statemachine.Batch
	for _, o := range ops {
		b.Ops = append(b.Ops, statemachine.Op{Data: []byte(o)})
	}
	New().Apply(&b, st, r)
}

func TestTheResultIsThePositionFromZero(t *testing.T) {
	st, at := table{}, 0
	for _, batch := range [][]string{{"a"}, {"b", "", "b"}, {"\x00\xff"}} {
		var r statemachine.Results
		apply(st, &r, batch...)
		if r.Len() != len(batch) {
			t.Fatalf("%d results of %d operations", r.Len(), len(batch))
		}
		for i := range batch {
			if got := string(r.Get(i)); got != strconv.Itoa(at) {
				t.Errorf("position %q, want %d", got, at)
			}
			at++
		}
	}
}

func TestTheStateIsALengthAndAHashChain(t *testing.T) {
	st := table{}
	var r statemachine.Results
	ops := []string{"first", "", "third"}
	apply(st, &r, ops[:2]...)
	apply(st, &r, ops[2:]...)
	var chain [sha256.Size]byte
	for _, o := range ops {
		chain = sha256.Sum256(append(chain[:], o...))
	}
	if len(st) != 2 || binary.BigEndian.Uint64(st["length"]) != 3 || string(st["chain"]) != string(chain[:]) {
		t.Errorf("state %x, want length 3 and chain %x", st, chain)
	}
}

func TestTheStateDependsOnContentAndOrderNotOnBatches(t *testing.T) {
	state := func(batches ...[]string) string {
		st := table{}
		var r statemachine.Results
		for _, b := range batches {
			apply(st, &r, b...)
		}
		return string(st["length"]) + string(st["chain"])
	}
	if state([]string{"a", "b", "c"}) != state([]string{"a"}, []string{"b", "c"}) {
		t.Error("batches enter the state")
	}
	for _, other := range [][]string{{"b", "a", "c"}, {"a", "b"}, {"ab", "", "c"}} {
		if state([]string{"a", "b", "c"}) == state(other) {
			t.Errorf("%q has the same state", other)
		}
	}
}
