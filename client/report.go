package main

import (
	"bytes"
	"fmt"
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

func (r *report) table() []byte {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	loop := r.loop()
	if r.TargetRate > 0 {
		loop += fmt.Sprintf(", %.0f/s asked for", r.TargetRate)
	}
	fmt.Fprintf(w, "workload\t%s, %d bytes, %s\n", r.Workload, r.OperationBytes, loop)
	fmt.Fprintf(w, "in flight\tat most %d, of %d client ids on %d connections\n", r.Outstanding, r.Clients, r.Connections)
	fmt.Fprintf(w, "requests\t%d in %.1f s, %d errors\n", r.Requests, r.Seconds, r.Errors)
	fmt.Fprintf(w, "throughput\t%.0f/s\n", r.Throughput)
	l := r.Latency
	fmt.Fprintf(w, "latency ms\tp50 %s  p90 %s  p99 %s  p99.9 %s  max %s\n", ms(l.P50), ms(l.P90), ms(l.P99), ms(l.P999), ms(l.Max))
	fmt.Fprintf(w, "CPU us/request\tclient %.2f + replicas %.2f = %.2f\n", r.CPU.Client, r.CPU.Replicas, r.CPU.Total)
	fmt.Fprintf(w, "peak memory\treplicas %d MiB, client %d MiB\n", r.PeakMemory>>20, r.ClientMemory>>20)
	for _, remark := range r.remarks() {
		fmt.Fprintf(w, "%s\t%s\n", remark[0], remark[1])
	}
	_ = w.Flush() // into memory
	return b.Bytes()
}

// loop is closed without a rate.
func (r *report) loop() string {
	if r.TargetRate > 0 {
		return "open loop"
	}
	return "closed loop"
}

// remarks are what went wrong, each with its kind before it.
func (r *report) remarks() (all [][2]string) {
	if r.Answered < r.Replicas {
		all = append(all, [2]string{"not counted", fmt.Sprintf("%d of %d replicas did not tell their CPU and memory", r.Replicas-r.Answered, r.Replicas)})
	}
	texts := make([]string, 0, len(r.ErrorTexts))
	for text := range r.ErrorTexts {
		texts = append(texts, text)
	}
	slices.Sort(texts)
	for _, text := range texts {
		all = append(all, [2]string{"error", fmt.Sprintf("%d times %s", r.ErrorTexts[text], printable(text))})
	}
	return all
}

func ms(us int64) string { return fmt.Sprintf("%.2f", float64(us)/1000) }
