package main

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pbft-go/pbft/client/pbftclient"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
)

func TestMicroBenchmarksHaveTheirSizesAndOneKeyPerClient(t *testing.T) {
	for _, tt := range []struct {
		kind, prefix string
		size         int
	}{
		{"0/0", "put k0042 ", 11},
		{"4/0", "put k0042 ", 4096},
		{"0/4", "get k0042", 9},
	} {
		o, err := parse(t, "--workload "+tt.kind)
		if err != nil {
			t.Fatal(err)
		}
		if err := o.complete(); err != nil {
			t.Fatal(err)
		}
		w := newWorkload(o, 42)
		op, again := string(w.next(nil)), string(w.next(nil))
		if len(op) != tt.size || o.size != tt.size || !strings.HasPrefix(op, tt.prefix) || op != again {
			t.Errorf("%s: operation of %d bytes, reported are %d: %.20q", tt.kind, len(op), o.size, op)
		}
		if last := newWorkload(o, maxBenchClients-1).next(nil); len(last) != tt.size || !strings.Contains(string(last), "k9999") {
			t.Errorf("%s: operation of the last client is %.20q, %d bytes", tt.kind, last, len(last))
		}
		if n := testing.AllocsPerRun(100, func() { w.next(nil) }); n > 0 {
			t.Errorf("%s: %v allocations per operation", tt.kind, n)
		}
	}
}

func TestAResultOfAnotherSizeIsAnError(t *testing.T) {
	big := []byte(strings.Repeat("v", 4096))
	tiny, get := micros["0/0"], micros["0/4"]
	for _, tt := range []struct {
		m    *micro
		r    pbftclient.Result
		want string
	}{
		{nil, pbftclient.Result{Value: big}, ""},
		{&tiny, pbftclient.Result{Value: []byte("OK")}, ""},
		{&tiny, pbftclient.Result{Value: []byte("18446744073709551615")}, ""},
		{&tiny, pbftclient.Result{Value: []byte("ERROR put needs a value: put K V")}, `result of 32 bytes, want at most 20: "ERROR put needs`},
		{&get, pbftclient.Result{Value: big}, ""},
		{&get, pbftclient.Result{Value: []byte("NOT_FOUND")}, `result of 9 bytes, want 4096: "NOT_FOUND"`},
		{&get, pbftclient.Result{Value: big[1:]}, "result of 4095 bytes, want 4096"},
		{&get, pbftclient.Result{Gone: true, Size: 4096}, "of a result of 4096 bytes only the digest is kept"},
	} {
		err := tt.m.check(&tt.r)
		if (err == nil) != (tt.want == "") || err != nil && !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%.40q: error %v, want %q", tt.r.Value, err, tt.want)
		}
	}
}

func TestOnlyAGetOf4KBNeedsAKeyValueStore(t *testing.T) {
	answers := []statusAnswer{{value: &pbftv1.GetStatusResponse{StateMachine: "log", Quorum: 1}}}
	for kind := range micros {
		err := (&benchOptions{workload: kind}).suits(answers)
		if kind != "0/4" && err != nil {
			t.Error(err)
		}
		if kind == "0/4" && (!errors.As(err, &misused{}) || !strings.Contains(err.Error(), "or take --workload 0/0 or 4/0")) {
			t.Errorf("error %v", err)
		}
	}
}

func TestBenchMeasuresTheMicroBenchmarks(t *testing.T) {
	for _, tt := range []struct {
		machine string
		kinds   []string
	}{
		{"kv", []string{"0/0", "4/0", "0/4"}},
		{"log", []string{"0/0", "4/0"}},
	} {
		r := startCluster(t, "state_machine: "+tt.machine+"\n")
		for _, kind := range tt.kinds {
			file := filepath.Join(t.TempDir(), "figures.json")
			out := r.bench(t, "--workload", kind, "--outstanding", "8", "--clients", "3", "--json", file)
			var f report // one object: this is no series
			if err := json.Unmarshal(read(t, file), &f); err != nil {
				t.Fatal(err)
			}
			if f.Requests == 0 || f.Errors != 0 || f.Workload != kind || f.OperationBytes != micros[kind].size {
				t.Errorf("%s on %s prints\n%s", kind, tt.machine, out)
			}
		}
		if tt.machine == "log" {
			if out := r.want(t, exitUsage, "bench", "--workload", "0/4"); !strings.Contains(out, `--workload 0/4 needs a key-value store, replica 0 runs state machine "log"`) {
				t.Errorf("output %q", out)
			}
		}
	}
}
