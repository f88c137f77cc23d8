//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// benchPatience is how long client bench may take beside the load itself: to
// connect, to drain, and to ask replicas that do not answer.
const benchPatience = 30 * time.Second

// bench is a run of client bench.
type bench struct {
	*process
	length time.Duration
	out    string
	stderr *bytes.Buffer
}

// benchReport is the part of its figures that matters here.
type benchReport struct {
	Requests   uint64            `json:"requests"`
	Errors     uint64            `json:"errors"`
	ErrorTexts map[string]uint64 `json:"error_texts"`
	Latency    struct {
		Max int64 `json:"max"` // microseconds
	} `json:"latency_us"`
}

// startBench has no warm-up, so that every request counts.
func (c *cluster) startBench(rate float64, length time.Duration, size int) (*bench, error) {
	args := []string{"--workload", "log", "--rate", strconv.FormatFloat(rate, 'f', -1, 64)}
	if size > 0 {
		args = append(args, "--size", strconv.Itoa(size))
	}
	return c.startBenchWith(length, args...)
}

func (c *cluster) startBenchWith(length time.Duration, args ...string) (*bench, error) {
	b := &bench{length: length, out: filepath.Join(c.dir, "bench.json"), stderr: &bytes.Buffer{}}
	args = append([]string{"bench", "-c", c.config(), "--duration", length.String(), "--warmup", "0s", "--json", b.out}, args...)
	cmd := exec.Command(filepath.Join(c.bin, "client"), args...)
	cmd.Stderr = b.stderr
	var err error
	b.process, err = start(cmd)
	return b, err
}

// report waits for the end of the load.
func (b *bench) report(ctx context.Context) (*benchReport, error) {
	if err := b.wait(ctx, b.length+benchPatience); err != nil {
		return nil, fmt.Errorf("client bench: %w", failed(err, bytes.TrimSpace(b.stderr.Bytes())))
	}
	text, err := os.ReadFile(b.out)
	if err != nil {
		return nil, err
	}
	r := &benchReport{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", b.out, err)
	}
	return r, nil
}
