package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Defaults of the benchmark's size: a client id has a window of 1024 numbers,
// half of which keeps it from waiting for one late answer.
const (
	perClient        = 512
	closedInFlight   = 100
	openInFlight     = 10_000
	maxBenchClients  = 10_000 // as many as replicas remember by default
	maxOutstanding   = 1_000_000
	maxBenchRate     = 10_000_000
	maxOperationSize = 16 << 20

	// The load holds some MB: with the usual percentage it would collect ten
	// times a second, each time for some ms of every latency.
	benchGCPercent = 800
)

// benchOptions are the flags of bench. The first two may be lists; a copy for
// each point of the series has the point's own in outstanding and rate.
type benchOptions struct {
	outstandings list[int]
	rates        list[float64]
	sizeGiven    bool
	keysGiven    bool

	outstanding int
	clients     int
	connections int
	rate        float64
	workload    string
	keys        int
	size        int
	seed        uint64
	duration    time.Duration
	warmup      time.Duration
	json        string
	plot        string
	micro       *micro // nil: another workload
}

func (o *benchOptions) define(fs *pflag.FlagSet) {
	fs.SortFlags = false
	o.outstandings.parse, o.rates.parse = parseCount, parseRate
	fs.Var(&o.outstandings, "outstanding", fmt.Sprintf("requests in flight, of all clients together (default %d; with --rate at most so many, %d); a `LIST` such as 1,10,100 is a series", closedInFlight, openInFlight))
	fs.IntVar(&o.clients, "clients", 0, fmt.Sprintf("client ids to share them (default: outstanding / %d, rounded up)", perClient))
	fs.IntVar(&o.connections, "connections", 1, "connections to each replica to share the clients")
	fs.Var(&o.rates, "rate", "requests per second, latency counted from the intended time; 0: as fast as answers come; a `LIST` such as 100,1000 is a series")
	fs.StringVar(&o.workload, "workload", "log", "kv-put, kv-mixed (half get, half put), log, or KB of an operation and of its result as the PBFT paper has them: 0/0, 4/0 or 0/4")
	fs.IntVar(&o.keys, "keys", 100_000, "different keys of the kv workloads")
	fs.IntVar(&o.size, "size", 64, "bytes of an operation that writes, not of 0/0, 4/0 and 0/4")
	fs.Uint64Var(&o.seed, "seed", 1, "what the operations are made from")
	fs.DurationVar(&o.duration, "duration", 10*time.Second, "length of the measured part, of each point of a series")
	fs.DurationVar(&o.warmup, "warmup", 2*time.Second, "length of the part before it, of each point too")
	fs.StringVar(&o.json, "json", "", "write the figures to this `FILE`, too, an array if it is a series; - is standard output, and no table")
	fs.StringVar(&o.plot, "plot", "", "draw throughput against latency of a series to this `FILE`, as SVG")
}

func (p *program) benchCommand() *cobra.Command {
	var o benchOptions
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure throughput, latency and CPU per request",
		Long: `bench submits operations for a while and prints throughput, latency, and the CPU
time that a request costs here and at the replicas (every process counted once,
as the replicas' status tells). A fixed number of requests in flight (closed
loop) measures capacity; --rate (open loop) measures latency under a given load,
counted from the time at which each request should have been sent.

A list in --outstanding or in --rate is a series of loads: each is warmed up and
measured on the same cluster, one after the other, with client ids of its own,
and gives one line. The memory of a later point is the peak of all before it.

The workloads 0/0, 4/0 and 0/4 are the micro-benchmarks of the PBFT paper. Each
client has one key: 0/0 puts a byte, 4/0 is a put of 4096 bytes in all, and 0/4
gets a value of 4096 bytes, which is put before the load starts and needs
state_machine: kv. A result of another size counts as an error.

Exit codes: 0 measured, 1 no request was answered or no replica, 3 refused; the
others as "client --help" has them.`,
		Args: numArgs(0, 0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.sizeGiven, o.keysGiven = cmd.Flags().Changed("size"), cmd.Flags().Changed("keys")
			return p.bench(cmd.Context(), &o)
		},
	}
	o.define(cmd.Flags())
	return cmd
}

// complete fills in what depends on other flags and checks all those of one
// point.
func (o *benchOptions) complete() error {
	if err := o.checkWorkload(); err != nil {
		return err
	}
	if err := o.completeMicro(); err != nil {
		return err
	}
	if o.outstanding == 0 {
		o.outstanding = closedInFlight
		if o.rate > 0 {
			o.outstanding = openInFlight
		}
	}
	if o.clients == 0 {
		o.clients = max((o.outstanding+perClient-1)/perClient, o.connections)
	}
	for _, x := range []struct {
		flag        string
		value       int
		least, most int
		why         string
	}{
		{"outstanding", o.outstanding, 1, maxOutstanding, ""},
		{"clients", o.clients, 1, min(o.outstanding, maxBenchClients), " (each has at least one request in flight)"},
		{"connections", o.connections, 1, o.clients, " (each has at least one client)"},
		{"keys", o.keys, 1, 1_000_000_000, ""},
		{"size", o.size, o.smallest(), maxOperationSize, " (" + o.workload + ")"},
	} {
		if x.value < x.least || x.value > x.most {
			return fmt.Errorf("--%s is %d, allowed are %d to %d%s", x.flag, x.value, x.least, x.most, x.why)
		}
	}
	switch {
	case !(o.rate >= 0 && o.rate <= maxBenchRate): // NaN, too
		return fmt.Errorf("--rate is %v, allowed are 0 to %d", o.rate, maxBenchRate)
	case o.duration <= 0:
		return fmt.Errorf("--duration is %v, allowed is more than 0", o.duration)
	case o.warmup < 0:
		return fmt.Errorf("--warmup is %v, allowed are 0 and more", o.warmup)
	}
	return nil
}

func (p *program) bench(ctx context.Context, o *benchOptions) error {
	if os.Getenv("GOGC") == "" {
		defer debug.SetGCPercent(debug.SetGCPercent(benchGCPercent))
	}
	points, err := o.points()
	if err != nil {
		return misused{err}
	}
	c, err := p.options.cluster()
	if err != nil {
		return err
	}
	out, err := p.openResults(points)
	if err != nil {
		return err
	}
	defer out.close()
	all, err := c.dial()
	if err != nil {
		return err
	}
	defer all.close()
	before := askAll(ctx, all, askTimeout, getStatus)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := points[0].suits(before); err != nil {
		return err
	}
	for _, point := range points {
		if err = p.benchPoint(ctx, point, c, all, out); err != nil {
			break // what was measured before is worth a report
		}
	}
	if e := out.end(); err == nil {
		err = e
	}
	return err
}

// benchPoint measures one load and reports it, and then ends the load.
func (p *program) benchPoint(ctx context.Context, o *benchOptions, c *cluster, all conns, out *results) error {
	load, err := newLoad(o, c)
	if err != nil {
		return err
	}
	defer load.close(ctx)
	if err := load.prepare(ctx); err != nil {
		return err
	}
	bar := newProgress(p.stderr, out.next(), o.warmup+o.duration)
	r, err := measure(ctx, o, c, all, load, bar)
	bar.end()
	if err != nil {
		return err
	}
	if err := out.add(r); err != nil {
		return err
	}
	if r.Requests == 0 {
		return fmt.Errorf("no request was answered within %v%s", o.duration, o.inSeries())
	}
	return nil
}

// measure lets the load run and takes the figures of its measured part.
func measure(ctx context.Context, o *benchOptions, c *cluster, all conns, load *load, bar *progress) (*report, error) {
	load.start(time.Now())
	if err := load.wait(ctx, o.warmup, bar); err != nil {
		return nil, err
	}
	begin := takeUsage(ctx, c, all)
	load.reset()
	since := time.Now()
	if err := load.wait(ctx, o.duration, bar); err != nil {
		return nil, err
	}
	took := time.Since(since)
	figures := load.figures()
	end := takeUsage(ctx, c, all)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return newReport(o, c, &figures, took, begin, end), nil
}
