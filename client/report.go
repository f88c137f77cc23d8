package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"
)

// report is what a benchmark found.
type report struct {
	Workload       string            `json:"workload"`
	Replicas       int               `json:"replicas"`
	Answered       int               `json:"replicas_answered"` // their status, at the end
	Outstanding    int               `json:"outstanding"`
	Clients        int               `json:"clients"`
	Connections    int               `json:"connections"`
	OperationBytes int               `json:"operation_bytes"`
	TargetRate     float64           `json:"target_rate_per_s"` // 0: closed loop
	Seconds        float64           `json:"duration_s"`
	Requests       uint64            `json:"requests"`
	Errors         uint64            `json:"errors"`
	ErrorTexts     map[string]uint64 `json:"error_texts,omitempty"`
	Throughput     float64           `json:"throughput_per_s"`
	Latency        latencies         `json:"latency_us"`
	CPU            cpuPerRequest     `json:"cpu_us_per_request"`
	PeakMemory     uint64            `json:"peak_memory_bytes"` // of the replicas' processes, added up
	ClientMemory   uint64            `json:"client_peak_memory_bytes"`
}

// latencies are quantiles in microseconds.
type latencies struct {
	P50  int64 `json:"p50"`
	P90  int64 `json:"p90"`
	P99  int64 `json:"p99"`
	P999 int64 `json:"p999"`
	Max  int64 `json:"max"`
}

// cpuPerRequest is CPU time in microseconds.
type cpuPerRequest struct {
	Client   float64 `json:"client"`
	Replicas float64 `json:"replicas"`
	Total    float64 `json:"total"`
}

func newReport(o *benchOptions, c *cluster, f *figures, took time.Duration, begin, end usage) *report {
	q := f.latency.ValueAtQuantile
	r := &report{
		Workload: o.workload, Replicas: c.n(), Answered: end.answered, Outstanding: o.outstanding,
		Clients: o.clients, Connections: o.connections, OperationBytes: o.size, TargetRate: o.rate,
		Seconds: took.Seconds(), Requests: f.requests, ErrorTexts: f.errors,
		Throughput:   float64(f.requests) / took.Seconds(),
		Latency:      latencies{P50: q(50), P90: q(90), P99: q(99), P999: q(99.9), Max: f.latency.Max()},
		ClientMemory: end.clientB,
	}
	for _, n := range f.errors {
		r.Errors += n
	}
	var replicas uint64
	replicas, r.PeakMemory = end.cpuSince(&begin)
	if n := float64(f.requests); n > 0 {
		r.CPU = cpuPerRequest{Client: float64(end.clientUS-begin.clientUS) / n, Replicas: float64(replicas) / n}
		r.CPU.Total = r.CPU.Client + r.CPU.Replicas
	}
	return r
}

// reportFile is where the JSON goes. It is opened before the load starts, so
// that a name that does not work costs no benchmark.
type reportFile struct {
	w    io.Writer // nil: nowhere
	file *os.File
}

func openReport(name string) (*reportFile, error) {
	if name == "" || name == "-" {
		return &reportFile{}, nil
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, misused{fmt.Errorf("--json: %w", err)}
	}
	return &reportFile{w: f, file: f}, nil
}

func (r *reportFile) close() {
	if r.file != nil {
		_ = r.file.Close()
	}
}

func (p *program) writeReport(r *report, o *benchOptions, to *reportFile) error {
	j, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	j = append(j, '\n')
	if o.json == "-" {
		return p.print(j)
	}
	if to.w != nil {
		if _, err := to.w.Write(j); err != nil {
			return fmt.Errorf("--json: %w", err)
		}
	}
	return p.print(r.table())
}

func (r *report) table() []byte {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	loop := "closed loop"
	if r.TargetRate > 0 {
		loop = fmt.Sprintf("open loop, %.0f/s asked for", r.TargetRate)
	}
	fmt.Fprintf(w, "workload\t%s, %d bytes, %s\n", r.Workload, r.OperationBytes, loop)
	fmt.Fprintf(w, "in flight\tat most %d, of %d client ids on %d connections\n", r.Outstanding, r.Clients, r.Connections)
	fmt.Fprintf(w, "requests\t%d in %.1f s, %d errors\n", r.Requests, r.Seconds, r.Errors)
	fmt.Fprintf(w, "throughput\t%.0f/s\n", r.Throughput)
	l := r.Latency
	fmt.Fprintf(w, "latency ms\tp50 %s  p90 %s  p99 %s  p99.9 %s  max %s\n", ms(l.P50), ms(l.P90), ms(l.P99), ms(l.P999), ms(l.Max))
	fmt.Fprintf(w, "CPU us/request\tclient %.2f + replicas %.2f = %.2f\n", r.CPU.Client, r.CPU.Replicas, r.CPU.Total)
	fmt.Fprintf(w, "peak memory\treplicas %d MiB, client %d MiB\n", r.PeakMemory>>20, r.ClientMemory>>20)
	if r.Answered < r.Replicas {
		fmt.Fprintf(w, "not counted\t%d of %d replicas did not tell their CPU and memory\n", r.Replicas-r.Answered, r.Replicas)
	}
	texts := make([]string, 0, len(r.ErrorTexts))
	for text := range r.ErrorTexts {
		texts = append(texts, text)
	}
	slices.Sort(texts)
	for _, text := range texts {
		fmt.Fprintf(w, "error\t%d times %s\n", r.ErrorTexts[text], printable(text))
	}
	_ = w.Flush() // into memory
	return b.Bytes()
}

func ms(us int64) string { return fmt.Sprintf("%.2f", float64(us)/1000) }
