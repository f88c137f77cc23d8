package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
)

func ops(t *testing.T, kind string, size int, seed uint64, count int) []string {
	t.Helper()
	o := &benchOptions{workload: kind, keys: 1000, size: size, seed: seed, connections: 1, duration: time.Second}
	if err := o.complete(); err != nil {
		t.Fatal(err)
	}
	w := newWorkload(o, 3)
	var all []string
	var buf []byte
	for range count {
		buf = w.next(buf)
		all = append(all, string(buf))
	}
	return all
}

func TestOperationsAreTheSameFromTheSameSeed(t *testing.T) {
	for _, kind := range []string{"log", "kv-put", "kv-mixed"} {
		a, b, c := ops(t, kind, 64, 1, 3000), ops(t, kind, 64, 1, 3000), ops(t, kind, 64, 2, 3000)
		if strings.Join(a, "\n") != strings.Join(b, "\n") {
			t.Errorf("%s: the same seed gives other operations", kind)
		}
		if strings.Join(a, "\n") == strings.Join(c, "\n") {
			t.Errorf("%s: another seed gives the same operations", kind)
		}
	}
}

func TestOperationsHaveTheirSizeAndForm(t *testing.T) {
	for _, size := range []int{1, 5, 64, 4096, 4097} {
		for _, op := range ops(t, "log", size, 1, 50) {
			if len(op) != size {
				t.Fatalf("operation of %d bytes, want %d", len(op), size)
			}
		}
	}
	gets := 0
	for _, op := range ops(t, "kv-mixed", 40, 1, 1000) {
		verb, rest, _ := strings.Cut(op, " ")
		key, value, _ := strings.Cut(rest, " ")
		if len(key) != len("k000") || key[0] != 'k' {
			t.Fatalf("key %q in %q", key, op)
		}
		switch {
		case verb == "get" && value == "":
			gets++
		case verb != "put" || len(op) != 40:
			t.Fatalf("operation %q", op)
		}
	}
	if gets < 400 || gets > 600 {
		t.Errorf("%d of 1000 operations read", gets)
	}
	for _, op := range ops(t, "kv-put", 9, 1, 10) {
		if len(op) != 9 || !strings.HasPrefix(op, "put k") || op[8] != ' ' {
			t.Errorf("the smallest operation is %q", op)
		}
	}
}

func TestOperationsCostNoAllocation(t *testing.T) {
	w := newWorkload(&benchOptions{workload: "kv-put", keys: 100_000, size: 64, seed: 1}, 0)
	buf := w.next(nil)
	if n := testing.AllocsPerRun(2000, func() { buf = w.next(buf) }); n > 0 {
		t.Errorf("%.2f allocations per operation", n)
	}
}

func TestBenchFillsInWhatWasNotGiven(t *testing.T) {
	for _, tt := range []struct {
		o                    benchOptions
		outstanding, clients int
	}{
		{benchOptions{connections: 1}, 100, 1},
		{benchOptions{connections: 1, outstanding: 1000}, 1000, 2},
		{benchOptions{connections: 1, outstanding: 10_000}, 10_000, 20},
		{benchOptions{connections: 1, rate: 5}, 10_000, 20},
		{benchOptions{connections: 200, outstanding: 200}, 200, 200},
	} {
		o := tt.o
		o.workload, o.keys, o.size, o.duration = "log", 10, 64, time.Second
		if err := o.complete(); err != nil || o.outstanding != tt.outstanding || o.clients != tt.clients {
			t.Errorf("%d in flight of %d clients, want %d of %d: %v", o.outstanding, o.clients, tt.outstanding, tt.clients, err)
		}
		sum := 0
		for i := range o.clients {
			n := share(o.outstanding, o.clients, i)
			if n < 1 {
				t.Errorf("client %d has no request in flight", i)
			}
			sum += n
		}
		if sum != o.outstanding {
			t.Errorf("shares of %d add up to %d", o.outstanding, sum)
		}
	}
}

func TestProcessesAreCountedOnce(t *testing.T) {
	one, two := process{"localhost", 7}, process{"other", 7}
	before := usage{replicas: map[process]processUsage{one: {100, 5}, two: {0, 5}}}
	after := usage{replicas: map[process]processUsage{
		one: {150, 6}, two: {30, 8},
		{"localhost", 8}: {1000, 100}, // started meanwhile
	}}
	if us, peak := after.cpuSince(&before); us != 80 || peak != 14 {
		t.Errorf("%d us, %d bytes", us, peak)
	}
}

func TestAKeyValueWorkloadNeedsAKeyValueStore(t *testing.T) {
	answers := []statusAnswer{{value: &pbftv1.GetStatusResponse{StateMachine: "log", Quorum: 1}}, {err: errors.New("down")}}
	if err := (&benchOptions{workload: "kv-put"}).suits(answers); !errors.As(err, &misused{}) {
		t.Errorf("error %v", err)
	}
	if err := (&benchOptions{workload: "log"}).suits(answers); err != nil {
		t.Error(err)
	}
}

func TestStatusTellsHowManyAnswered(t *testing.T) {
	up := statusAnswer{value: &pbftv1.GetStatusResponse{Quorum: 3, StatusReason: "a\x1b[31m\nb"}}
	down := statusAnswer{err: errors.New("connection refused")}
	for _, tt := range []struct {
		answers []statusAnswer
		want    string
	}{
		{[]statusAnswer{up, up, up, down}, ""},
		{[]statusAnswer{up, up, down, down}, "2 of 4 replicas answered, a quorum is 3"},
		{[]statusAnswer{down, down, down, down}, "none of 4 replicas answered"},
	} {
		if err := checkQuorum(tt.answers); (err == nil) != (tt.want == "") || err != nil && err.Error() != tt.want {
			t.Errorf("error %v, want %q", err, tt.want)
		}
	}
	table := statusTable(&cluster{addrs: []string{"a:1", "b:1"}}, []statusAnswer{up, down})
	if bytes.Count(table, []byte("\n")) != 3 || bytes.ContainsRune(table, '\x1b') || !bytes.Contains(table, []byte("unreachable")) {
		t.Errorf("table:\n%s", table)
	}
}
