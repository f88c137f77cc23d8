//go:build linux

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// maxPause is twice the view change timeout of a configuration that names
	// none.
	maxPause = 2 * 2 * time.Second
	// caseTimeout is what a case may take beside its load, at most.
	caseTimeout = 3 * time.Minute
)

// run is one cluster of one case.
type run struct {
	cluster *cluster
	bench   *bench
	hold    time.Duration // how long a fault lasts that does not last
	result  *result
}

// result is what one or more runs of a case found.
type result struct {
	pause    time.Duration
	slowest  []time.Duration // of each run
	requests uint64
	caughtUp time.Duration // longest of the replicas that were away
	view     uint64        // highest
	note     string        // what a case of its own kind tells, in place of the above
	skipped  string        // why the case could not run
	failures []string
}

func (r *result) fail(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

// runCase runs a case and prints its line.
func runCase(ctx context.Context, o *options, f *fault) bool {
	var r result
	if f.possible != nil {
		r.skipped = f.possible()
	}
	runs := max(f.runs, 1)
	if r.skipped != "" {
		runs = 0
	}
	for i := range runs {
		dir := filepath.Join(o.dir, f.name)
		if runs > 1 {
			dir = filepath.Join(dir, strconv.Itoa(i+1))
		}
		runOnce(ctx, dir, o, f, &r)
		if ctx.Err() != nil {
			return false
		}
	}
	if len(r.slowest) > 0 && f.slowest > 0 {
		if m := median(r.slowest); m >= f.slowest {
			r.fail("the median of the slowest requests is %v, allowed is less than %v", m.Round(time.Millisecond), f.slowest)
		}
	}
	r.print(f)
	return len(r.failures) == 0
}

// runOnce runs a case on one cluster, whose processes have ended when it
// returns, and adds to result.
func runOnce(ctx context.Context, dir string, o *options, f *fault, result *result) {
	length := o.duration * time.Duration(max(f.longer, 1))
	ctx, cancel := context.WithTimeout(ctx, max(length+caseTimeout, f.limit))
	defer cancel()
	c, err := newCluster(ctx, dir, o, f)
	if err != nil {
		result.fail("%v", err)
		return
	}
	defer c.close()
	if f.alone != nil {
		if err := f.alone(ctx, o, c, result); err != nil {
			result.fail("%v", err)
		}
		return
	}
	rate := o.rate
	if f.rate > 0 {
		rate = f.rate
	}
	r := &run{cluster: c, hold: o.duration / 3, result: result}
	if r.bench, err = c.startBench(rate, length, f.size); err != nil {
		result.fail("client bench: %v", err)
		return
	}
	defer r.bench.kill()
	p := startProbe(ctx, c.addrs)
	if err = sleep(ctx, o.duration/5); err == nil {
		err = f.act(ctx, r)
	}
	if err != nil {
		result.fail("%v", err)
	}
	report, err := r.bench.report(ctx)
	end := time.Now()
	p.end()
	if err != nil {
		result.fail("%v", err)
	}
	r.judgeLoad(p, end, report)
	r.judgeReplicas(ctx, p, report)
}

// judgeLoad looks at what clients saw.
func (r *run) judgeLoad(p *probe, end time.Time, report *benchReport) {
	pause := p.pause(end)
	r.result.pause = max(r.result.pause, pause)
	if pause >= maxPause {
		r.result.fail("nothing was acknowledged for %v, allowed is less than %v", pause.Round(time.Millisecond), maxPause)
	}
	r.result.requests += uint64(len(p.acks))
	if n := len(p.errors); n > 0 {
		r.result.fail("%d errors of the probe, the first: %s", n, p.errors[0])
	}
	if report == nil {
		return
	}
	r.result.requests += report.Requests
	slowest := time.Duration(report.Latency.Max) * time.Microsecond
	r.result.slowest = append(r.result.slowest, slowest)
	if slowest >= maxPause {
		r.result.fail("a request took %v, allowed is less than %v", slowest.Round(time.Millisecond), maxPause)
	}
	if report.Errors > 0 {
		r.result.fail("%d errors of client bench: %v", report.Errors, report.ErrorTexts)
	}
}

// judgeReplicas looks at the replicas after the load.
func (r *run) judgeReplicas(ctx context.Context, p *probe, report *benchReport) {
	c := r.cluster
	view, err := c.settle(ctx)
	r.result.view = max(r.result.view, view)
	if err != nil {
		r.result.fail("%v", err)
	}
	dumps, problems := c.dumps(ctx)
	r.result.failures = append(r.result.failures, problems...)
	var benched uint64
	if report != nil {
		benched = report.Requests
	}
	r.result.failures = append(r.result.failures, checkDumps(dumps, p.acks, benched)...)
}

func median(all []time.Duration) time.Duration {
	return slices.Sorted(slices.Values(all))[len(all)/2]
}

// print prints the line of a case, and below it what failed.
func (r *result) print(f *fault) {
	verdict := "ok"
	switch {
	case len(r.failures) > 0:
		verdict = "FAIL"
	case r.skipped != "":
		verdict = "skip"
	}
	fmt.Printf("%-12s %-4s  %s\n", f.name, verdict, r.line())
	for _, text := range r.failures {
		fmt.Println("    " + text)
	}
}

// line is what a case tells beside its verdict.
func (r *result) line() string {
	switch {
	case r.skipped != "":
		return r.skipped
	case r.note != "":
		return r.note
	}
	var slowest []string
	for _, d := range r.slowest {
		slowest = append(slowest, strconv.FormatInt(d.Milliseconds(), 10))
	}
	line := fmt.Sprintf("pause %4d ms, slowest request %s ms, %d requests, view %d",
		r.pause.Milliseconds(), strings.Join(slowest, " "), r.requests, r.view)
	if r.caughtUp > 0 {
		line += fmt.Sprintf(", back after %.1f s", r.caughtUp.Seconds())
	}
	return line
}
