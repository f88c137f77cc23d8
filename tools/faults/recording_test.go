//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestARecordingReadsAsItIsWritten(t *testing.T) {
	name := filepath.Join(t.TempDir(), "recorded.jsonl")
	text := `{"client":"recorder-1","number":7,"op":"get key1","call":5,"return":9,"known":true,"result":"v"}
{"client":"recorder-2","number":8,"op":"delete key0","call":6,"return":7,"known":false,"error":"late","failed":true}
`
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ops, err := readRecording(name)
	if err != nil {
		t.Fatal(err)
	}
	want := []operation{
		{Client: "recorder-1", Number: 7, Op: "get key1", Call: 5, Return: 9, Known: true, Result: "v"},
		{Client: "recorder-2", Number: 8, Op: "delete key0", Call: 6, Return: 7, Error: "late", Failed: true},
	}
	if !slices.Equal(ops, want) {
		t.Errorf("got %+v", ops)
	}
	if p := failures(ops); len(p) != 1 || !strings.Contains(p[0], `1 operations failed, the first: ["recorder-2", 8] delete key0: late`) {
		t.Errorf("failures are %q", p)
	}
}

func TestPausesAreMeasuredOverAllClientsAndOverEachOne(t *testing.T) {
	op := func(client string, call, back int64, known bool) operation {
		return operation{Client: client, Call: call, Return: back, Known: known}
	}
	ops := []operation{op("a", 0, 10, true), op("b", 5, 40, true), op("a", 11, 100, true), op("b", 41, 70, false), op("b", 71, 120, true)}
	at := answers(ops)
	if got := longestGap(at, 0, 130); got != 60*time.Nanosecond {
		t.Errorf("longest gap is %d, want 60", got)
	}
	if got := longestGap(at, 0, 300); got != 180*time.Nanosecond {
		t.Errorf("longest gap up to the end is %d, want 180", got)
	}
	if got := longestGap(at, 15, 30); got != 15*time.Nanosecond {
		t.Errorf("longest gap without an answer is %d, want 15", got)
	}
	if got := longestWait(ops); got != 90*time.Nanosecond {
		t.Errorf("longest wait of a client is %d, want 90", got)
	}
}

// The recorder is built with the module above, and not by go build ./... of this
// one.
func TestTheRecorderCompiles(t *testing.T) {
	args := append([]string{"-C", "../..", "vet"}, recorderSources...)
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		t.Errorf("go vet of the recorder: %v\n%s", err, out)
	}
}
