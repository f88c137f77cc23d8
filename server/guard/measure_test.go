package guard

import (
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"
)

// path is a part of what replicas do for every request.
type path interface {
	// prepare makes the inputs of so many batches to come.
	prepare(batches int)
	// handle does the path's work on the next batch. It fails the test if the
	// batch does not get where it should.
	handle()
}

func (b *budget) run(p path, batches int) {
	p.prepare(batches)
	for range batches {
		p.handle()
	}
}

// measure brings the path into its steady state and returns by how much count
// rose in one cycle. One goroutine runs, and no garbage collector.
func (b *budget) measure(t *testing.T, count func() counts) (rise counts) {
	p := b.start(t)
	b.run(p, b.warm)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	p.prepare(1 + b.cycle)
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	p.handle() // fills again what the collector emptied
	before := count()
	for range b.cycle {
		p.handle()
	}
	after := count()
	for i := range rise {
		rise[i] = after[i] - before[i]
	}
	return rise
}

// counts are those of allocations and of their bytes, or that of instructions.
type counts [2]uint64

// memory is here for the measurement to allocate nothing.
var memory runtime.MemStats

// allocated counts the allocations of this process, and their bytes.
func allocated() counts {
	runtime.ReadMemStats(&memory)
	return counts{memory.Mallocs, memory.TotalAlloc}
}

// per is a count by so many of what was done.
func per(count uint64, times int) float64 { return float64(count) / float64(times) }

func TestABatchAllocatesWithinItsBudget(t *testing.T) {
	for i := range budgets {
		b := &budgets[i]
		t.Run(b.path, func(t *testing.T) {
			if race {
				b.run(b.start(t), 2)
				t.Skip("the race detector allocates too: the path works, its allocations are not counted")
			}
			if strconv.IntSize != 64 {
				t.Skip("the budgets are those of 64 bits")
			}
			rise := b.measure(t, allocated)
			report(t,
				cost{what: "allocations per batch", figure: per(rise[0], b.cycle), budget: b.allocations, slack: slackAllocations},
				cost{what: "bytes allocated per request", figure: per(rise[1], b.cycle*batchSize), budget: b.bytes, slack: slackBytes})
		})
	}
}

func TestARequestTakesInstructionsWithinItsBudget(t *testing.T) {
	if race {
		t.Skip("the race detector's instructions would be counted too")
	}
	for i := range budgets {
		b := &budgets[i]
		t.Run(b.path, func(t *testing.T) {
			runtime.LockOSThread() // the counter counts one thread
			defer runtime.UnlockOSThread()
			c, err := openInstructions()
			if err != nil {
				t.Skip(err)
			}
			defer c.close()
			rise := b.measure(t, func() counts {
				n, err := c.read()
				if err != nil {
					t.Skip(err)
				}
				return counts{n}
			})
			if rise[0] == 0 {
				t.Fatal("no instruction was counted: the counter is broken")
			}
			report(t, cost{what: "instructions per request", figure: per(rise[0], b.cycle*batchSize), budget: b.instructions, bound: true})
		})
	}
}

func report(t *testing.T, costs ...cost) {
	t.Helper()
	for _, c := range costs {
		t.Logf("%s: %.2f, budget %g", c.what, c.figure, c.budget)
		if err := c.check(); err != nil {
			t.Error(err)
		}
	}
}

// BenchmarkPaths times what the tests count.
func BenchmarkPaths(b *testing.B) {
	for i := range budgets {
		budget := &budgets[i]
		b.Run(budget.path, func(b *testing.B) {
			p := budget.start(b)
			budget.run(p, budget.warm)
			b.ReportAllocs()
			b.ResetTimer()
			for done := 0; done < b.N; {
				b.StopTimer()
				n := min(budget.cycle, b.N-done)
				p.prepare(n)
				b.StartTimer()
				for range n {
					p.handle()
				}
				done += n
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batchSize, "ns/request")
		})
	}
}
