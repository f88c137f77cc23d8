package gateway

import (
	"fmt"
	"testing"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

var testCluster = crypto.ClusterID{1}

// say is replica's reply to client a's request 7 under session 5.
func say(replica message.ReplicaID, s crypto.Status, value string) *message.Reply {
	r := crypto.Result{N: 3, Number: 7, Status: s, Value: []byte(value)}
	if s == crypto.StatusExpired || s == crypto.StatusNotExecuted {
		r.N = 0
	}
	return &message.Reply{Client: "a", Session: 5, Replica: replica, Result: r}
}

func tombstone(replica message.ReplicaID, value string) *message.Reply {
	m := say(replica, crypto.StatusOK, "")
	m.Result.Value, m.Result.Tombstone = nil, true
	m.Result.Digest, m.Result.Size = testCluster.ValueDigest([]byte(value)), uint64(len(value))
	return m
}

func TestCollector(t *testing.T) {
	const ok, rejected, missing = crypto.StatusOK, crypto.StatusRejected, crypto.StatusNotExecuted
	other := say(1, ok, "x")
	other.Session = 6
	late := say(1, ok, "x")
	late.Result.N = 4
	unknown := say(1, ok, "x")
	unknown.Result.Status = 9
	for _, c := range []struct {
		name    string
		session uint64
		query   bool
		in      []*message.Reply
		want    string // "": no agreement
	}{
		{"two of four", 5, false, []*message.Reply{say(0, ok, "x"), say(3, ok, "x")}, "5 OK x [0 3]"},
		{"one twice", 5, false, []*message.Reply{say(0, ok, "x"), say(0, ok, "x")}, ""},
		{"different values", 5, false, []*message.Reply{say(0, ok, "x"), say(1, ok, "y")}, ""},
		{"different numbers", 5, false, []*message.Reply{say(0, ok, "x"), late}, ""},
		{"another session", 5, false, []*message.Reply{say(0, ok, "x"), other}, ""},
		{"any session, but not two", 0, true, []*message.Reply{say(0, ok, "x"), other}, ""},
		{"any session", 0, true, []*message.Reply{other, say(0, ok, "x"), say(2, ok, "x")}, "5 OK x [0 2]"},
		{"no such replica", 5, false, []*message.Reply{say(0, ok, "x"), say(4, ok, "x")}, ""},
		{"no such status", 5, false, []*message.Reply{say(0, ok, "x"), unknown}, ""},
		{"rejected", 5, false, []*message.Reply{say(0, rejected, ""), say(1, rejected, "")}, "5 REJECTED  [0 1]"},
		{"not executed is no answer yet", 5, false, []*message.Reply{say(0, missing, ""), say(1, missing, "")}, ""},
		{"not executed answers a query", 5, true, []*message.Reply{say(0, missing, ""), say(1, missing, "")}, "5 NOT_EXECUTED  [0 1]"},
		{"newer word replaces", 5, true, []*message.Reply{say(0, missing, ""), say(0, ok, "x"), say(1, missing, ""), say(2, ok, "x")}, "5 OK x [0 2]"},
		{"value beats tombstone", 5, false, []*message.Reply{tombstone(0, "x"), say(1, ok, "x")}, "5 OK x [0 1]"},
		{"tombstone behind value", 5, false, []*message.Reply{say(1, ok, "x"), tombstone(0, "x")}, "5 OK x [1 0]"},
		{"tombstones alone", 5, false, []*message.Reply{tombstone(0, "x"), tombstone(1, "x")}, "5 OK tombstone of 1 [0 1]"},
		{"tombstone of another value", 5, false, []*message.Reply{tombstone(0, "y"), say(1, ok, "x")}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newCollector(testCluster, 4, 2)
			w, _ := k.wait("a", c.session, 7, c.query)
			for _, m := range c.in {
				k.deliver(m)
			}
			got := ""
			select {
			case a := <-w.done:
				got = fmt.Sprintf("%d %v %s %v", a.session, a.result.Status, a.result.Value, a.replicas)
				if a.result.Tombstone {
					got = fmt.Sprintf("%d %v tombstone of %d %v", a.session, a.result.Status, a.result.Size, a.replicas)
				}
			default:
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			k.leave(w)
			k.leave(w)
			if k.waiting() != 0 || k.values != 0 || len(k.waiters) != 0 {
				t.Errorf("left behind: %d callers, %d bytes, %d keys", k.waiting(), k.values, len(k.waiters))
			}
		})
	}
}

func TestCollectorAnswersEverybodyWhoWaits(t *testing.T) {
	k := newCollector(testCluster, 4, 2)
	var all []*waiter
	for range 5 {
		w, _ := k.wait("a", 5, 7, false)
		all = append(all, w)
	}
	odd, _ := k.wait("a", 6, 7, false)
	k.deliver(say(0, crypto.StatusOK, "x"))
	k.deliver(say(1, crypto.StatusOK, "x"))
	for i, w := range all {
		if len(w.done) != 1 {
			t.Errorf("caller %d has no answer", i)
		}
	}
	if len(odd.done) != 0 || k.waiting() != 1 {
		t.Errorf("%d callers left, want the one of another session", k.waiting())
	}
}

func TestCollectorCopiesWhatItKeeps(t *testing.T) {
	k := newCollector(testCluster, 4, 2)
	w, _ := k.wait("a", 5, 7, false)
	m := say(0, crypto.StatusOK, "x")
	k.deliver(m)
	m.Result.Value[0] = 'y' // the frame is used again
	k.deliver(say(1, crypto.StatusOK, "x"))
	if a := <-w.done; string(a.result.Value) != "x" {
		t.Errorf("value %q", a.result.Value)
	}
}

func TestCollectorKeepsDigestsOnlyWhereTooMuchIsHeld(t *testing.T) {
	k := newCollector(testCluster, 4, 2)
	k.values = maxWaitingValues
	w, _ := k.wait("a", 5, 7, false)
	k.deliver(say(0, crypto.StatusOK, "x"))
	k.deliver(say(1, crypto.StatusOK, "x"))
	if a := <-w.done; !a.result.Tombstone || a.result.Size != 1 || a.result.Digest != testCluster.ValueDigest([]byte("x")) {
		t.Errorf("%+v", a.result)
	}
}

func TestCollectorIsBounded(t *testing.T) {
	k := newCollector(testCluster, 4, 2)
	for i := range maxSameWaiters {
		if _, ok := k.wait("a", 5, 7, false); !ok {
			t.Fatalf("caller %d of one request is refused", i)
		}
	}
	if _, ok := k.wait("a", 5, 7, false); ok {
		t.Error("one request has too many callers")
	}
	for i := maxSameWaiters; i < maxWaiters; i++ {
		if _, ok := k.wait("a", 5, uint64(i), false); !ok {
			t.Fatalf("caller %d is refused", i)
		}
	}
	if _, ok := k.wait("b", 5, 7, false); ok {
		t.Error("too many callers")
	}
}
