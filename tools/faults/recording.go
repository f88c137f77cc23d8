//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// recorderProgram is the load that records every operation: see recorder.
const recorderProgram = "recorder"

// recorderSources are its files, from the root of the repository.
var recorderSources = []string{"tools/faults/recorder/main.go", "tools/faults/recorder/load.go"}

// operation is what a client of the recorder knows of one. Times are nanoseconds
// since 1970.
type operation struct {
	Client string `json:"client"`
	Number uint64 `json:"number"`
	Op     string `json:"op"`
	Call   int64  `json:"call"`
	Return int64  `json:"return"`
	Known  bool   `json:"known"`  // it was executed; else it may have been
	Gone   bool   `json:"gone"`   // its result is not known
	Result string `json:"result"` // of a known one
	Error  string `json:"error"`  // of one that is not known
	Unsent bool   `json:"unsent"` // it never will be executed
	Failed bool   `json:"failed"` // it should have had an answer
}

// id is the operation's in dumps.
func (o *operation) id() string { return fmt.Sprintf("%q, %d", o.Client, o.Number) }

// recording is a run of the recorder.
type recording struct {
	*process
	out    string
	stderr *bytes.Buffer
}

// recordingOptions say what is to be recorded.
type recordingOptions struct {
	seed      uint64
	ops, keys int
	think     time.Duration
	hasty     float64 // share of operations that are given up early
}

const (
	recorderClients = 16
	// answerTimeout is after which an operation counts as failed.
	answerTimeout = 30 * time.Second
)

func (c *cluster) startRecording(o *recordingOptions) (*recording, error) {
	r := &recording{out: filepath.Join(c.dir, "recorded.jsonl"), stderr: &bytes.Buffer{}}
	cmd := exec.Command(filepath.Join(c.bin, recorderProgram), "-c", c.config(), "-o", r.out,
		"-seed", strconv.FormatUint(o.seed, 10), "-clients", strconv.Itoa(recorderClients),
		"-keys", strconv.Itoa(o.keys), "-ops", strconv.Itoa(o.ops), "-think", o.think.String(),
		"-hasty", strconv.FormatFloat(o.hasty, 'f', -1, 64), "-timeout", answerTimeout.String())
	cmd.Stderr = r.stderr
	var err error
	r.process, err = start(cmd)
	return r, err
}

// end lets the clients finish what they wait for and takes what they know.
func (r *recording) end(ctx context.Context) ([]operation, error) {
	_ = r.signal(syscall.SIGTERM) // it may have ended
	return r.result(ctx, answerTimeout+10*time.Second)
}

// result waits until all operations are over.
func (r *recording) result(ctx context.Context, limit time.Duration) ([]operation, error) {
	if err := r.wait(ctx, limit); err != nil {
		return nil, fmt.Errorf("recorder: %w", failed(err, bytes.TrimSpace(r.stderr.Bytes())))
	}
	return readRecording(r.out)
}

func readRecording(name string) ([]operation, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	var ops []operation
	for dec := json.NewDecoder(bufio.NewReader(file)); dec.More(); {
		var o operation
		if err := dec.Decode(&o); err != nil {
			return nil, fmt.Errorf("%s, operation %d: %w", name, len(ops), err)
		}
		ops = append(ops, o)
	}
	return ops, nil
}

// answers are the times at which operations were acknowledged, in order.
func answers(ops []operation) (at []int64) {
	for i := range ops {
		if ops[i].Known {
			at = append(at, ops[i].Return)
		}
	}
	slices.Sort(at)
	return at
}

// longestGap is the longest time between from and to in which nothing was
// acknowledged.
func longestGap(at []int64, from, to int64) (longest time.Duration) {
	last := from
	for _, t := range at {
		if t > from && t < to {
			longest, last = max(longest, time.Duration(t-last)), t
		}
	}
	return max(longest, time.Duration(to-last))
}

// longestWait is the longest time that one client waited between two answers.
func longestWait(ops []operation) (longest time.Duration) {
	byClient := map[string][]operation{}
	for _, o := range ops {
		byClient[o.Client] = append(byClient[o.Client], o)
	}
	for _, own := range byClient {
		at, begin := answers(own), own[0].Call
		for _, o := range own {
			begin = min(begin, o.Call)
		}
		for _, t := range at {
			longest, begin = max(longest, time.Duration(t-begin)), t
		}
	}
	return longest
}

// failures tells of operations that should have had an answer.
func failures(ops []operation) (problems []string) {
	count, first := 0, ""
	for i := range ops {
		if ops[i].Failed {
			if count == 0 {
				first = fmt.Sprintf("[%s] %s: %s", ops[i].id(), ops[i].Op, ops[i].Error)
			}
			count++
		}
	}
	if count > 0 {
		problems = append(problems, fmt.Sprintf("%d operations failed, the first: %s", count, first))
	}
	return problems
}
