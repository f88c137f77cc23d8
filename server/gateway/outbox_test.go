package gateway

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/wire"
)

func TestOutboxIsCutIntoMessages(t *testing.T) {
	o := newOutbox()
	for i := range 3 {
		o.addBlock(wire.Block{N: uint64(i), Results: []crypto.Result{{Status: crypto.StatusOK, Value: make([]byte, responseBytes*2/3)}}})
	}
	o.addBlock(wire.Block{N: 3, Results: []crypto.Result{{Status: crypto.StatusOK, Value: make([]byte, 2*responseBytes)}}})
	for range wire.MaxItems + 1 {
		o.addRefusal(wire.Refusal{Message: "no"})
	}
	o.addSingle(wire.Single{Result: crypto.Result{Status: crypto.StatusOK}})
	r, err := o.take()
	if err != nil {
		t.Fatal(err)
	}
	var blocks, refusals, singles []int
	for !empty(&r) {
		part, size := pack(&r)
		if b := part.Append(nil); len(b) > size+infoSize {
			t.Errorf("%d bytes reserved for %d", size, len(b))
		}
		var check wire.SessionResponse
		if err := check.Parse(part.Append(nil)); err != nil {
			t.Error(err)
		}
		blocks, refusals, singles = append(blocks, len(part.Blocks)), append(refusals, len(part.Refusals)), append(singles, len(part.Singles))
		o.release(size)
	}
	got := fmt.Sprint(blocks, refusals, singles)
	if want := "[1 1 1 1] [4096 1 0 0] [1 0 0 0]"; got != want || o.bytes != 0 {
		t.Errorf("blocks, refusals and singles per message %s, want %s; %d bytes left", got, want, o.bytes)
	}
}

func TestRefusalTextIsBounded(t *testing.T) {
	o := newOutbox()
	o.addRefusal(wire.Refusal{Message: strings.Repeat("é", maxRefusalText)})
	r, _ := o.take()
	m := r.Refusals[0].Message
	if len(m) > maxRefusalText+len("…") || strings.Trim(m, "é") != "…" {
		t.Errorf("%d bytes, ends in %q", len(m), m[len(m)-4:])
	}
}

func TestOutboxKeepsTheFirstError(t *testing.T) {
	o := newOutbox()
	first := errors.New("first")
	o.fail(first)
	o.fail(errors.New("second"))
	o.addSingle(wire.Single{})
	r, err := o.take()
	if !errors.Is(err, first) || !empty(&r) {
		t.Errorf("%v, %+v", err, r)
	}
}
