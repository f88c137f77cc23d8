package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

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
	o.addInfo(&wire.ServerInfo{Index: 1})
	messages, err := o.take()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range messages {
		check := parsed(t, m)
		got = append(got, fmt.Sprint(check.Info != nil, len(check.Blocks), len(check.Refusals), len(check.Singles)))
		o.release(m)
	}
	want := []string{"true 1 0 0", "false 1 0 0", "false 1 0 0", "false 1 0 0", "false 0 4096 0", "false 0 1 1"}
	if !slices.Equal(got, want) || o.bytes != 0 {
		t.Errorf("info, blocks, refusals and singles per message %q, want %q; %d bytes left", got, want, o.bytes)
	}
	if messages, err := o.take(); len(messages) > 0 || err != nil {
		t.Errorf("then %v, %v", messages, err)
	}
}

// parsed is a message of the outbox as a client sees it.
func parsed(t *testing.T, parts [][]byte) *wire.SessionResponse {
	t.Helper()
	var r wire.SessionResponse
	if err := r.Parse(bytes.Join(parts, nil)); err != nil {
		t.Fatal(err)
	}
	return &r
}

func TestAnItemTakesWhatItsSizeSaysAtMost(t *testing.T) {
	for _, n := range []int{0, 1, 100, 10_000} {
		value := make([]byte, n)
		result := crypto.Result{N: math.MaxUint64, Number: crypto.MaxNumber, Status: crypto.StatusNotExecuted, Value: value}
		block := wire.Block{Handle: math.MaxUint32, N: math.MaxUint64, View: math.MaxUint64, Digest: crypto.Digest{1}, Results: []crypto.Result{result, {Tombstone: true, Size: math.MaxUint64}}}
		single := wire.Single{Handle: math.MaxUint32, View: math.MaxUint64, Client: strings.Repeat("c", 64), Session: math.MaxUint64, Replica: math.MaxUint16, Result: result}
		refusal := wire.Refusal{Handle: math.MaxUint32, First: math.MaxUint64, Last: math.MaxUint64, Reason: 9, Message: string(value), RetryAfter: time.Hour}
		for _, x := range []struct {
			name string
			size int
			item wire.SessionResponse
		}{
			{"block", blockSize(&block), wire.SessionResponse{Blocks: []wire.Block{block}}},
			{"single", singleSize(&single), wire.SessionResponse{Singles: []wire.Single{single}}},
			{"refusal", refusalSize(&refusal), wire.SessionResponse{Refusals: []wire.Refusal{refusal}}},
		} {
			if got := len(x.item.Append(nil)); got > x.size {
				t.Errorf("%s with %d bytes takes %d, its size says %d", x.name, n, got, x.size)
			}
		}
	}
}

func TestRefusalTextIsBounded(t *testing.T) {
	o := newOutbox()
	o.addRefusal(wire.Refusal{Message: strings.Repeat("é", maxRefusalText)})
	messages, _ := o.take()
	m := parsed(t, messages[0]).Refusals[0].Message
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
	messages, err := o.take()
	if !errors.Is(err, first) || len(messages) > 0 {
		t.Errorf("%v, %v", err, messages)
	}
}
