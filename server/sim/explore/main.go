// Command explore runs the simulator on many seeds and all processors, until it
// has run so many, for so long, or until one breaks a promise:
//
//	go run ./server/sim/explore -seeds 20000
//	go run ./server/sim/explore -for 10m -first 1000000
//
// It prints how far it is, then what the seeds brought about, and exits with
// 1 and the command that shows the run if one broke a promise.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/pbft-go/pbft/server/sim"
)

// explorer hands out seeds and adds up what they give.
type explorer struct {
	first, seeds uint64
	until        time.Time // zero: no limit
	twice        uint64
	most         int
	options      sim.Options

	mu       sync.Mutex
	next     uint64
	runs     uint64
	failures []*sim.Report
	again    []uint64 // seeds that gave something else the second time
	deliver  int
	requests int
	ticks    uint64
	coverage sim.Coverage
}

func main() {
	e := &explorer{coverage: sim.Coverage{}}
	var limit time.Duration
	var ignore string
	workers := runtime.GOMAXPROCS(0)
	flag.Uint64Var(&e.first, "first", 0, "the first seed")
	flag.Uint64Var(&e.seeds, "seeds", 0, "how many seeds; 0: no limit")
	flag.DurationVar(&limit, "for", 0, "how long; 0: no limit")
	flag.Uint64Var(&e.twice, "twice", 64, "every so many seeds one is run twice, to see whether it happens alike; 0: none")
	flag.IntVar(&e.most, "failures", 1, "stop after so many failures")
	flag.IntVar(&workers, "workers", workers, "seeds at once")
	flag.StringVar(&ignore, "ignore", "", "do not report violations whose text holds one of these, separated by |")
	flag.Parse()
	debug.SetGCPercent(400) // a run leaves much behind and holds little
	if e.seeds == 0 && limit == 0 {
		e.seeds = 10_000
	}
	if limit > 0 {
		e.until = time.Now().Add(limit)
	}
	if ignore != "" {
		e.options.Ignore = strings.Split(ignore, "|")
	}
	began := time.Now()
	e.explore(workers)
	e.summary(time.Since(began), workers)
	if len(e.failures)+len(e.again) > 0 {
		os.Exit(1)
	}
}

// explore runs seeds on so many workers, and shows how far it is.
func (e *explorer) explore(workers int) {
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				seed, ok := e.seed()
				if !ok {
					return
				}
				e.run(seed)
			}
		})
	}
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	show := time.NewTicker(time.Second)
	defer show.Stop()
	for {
		select {
		case <-done:
			fmt.Fprint(os.Stderr, "\r")
			return
		case <-show.C:
			e.progress()
		}
	}
}

// seed hands out the next one, while there are any.
func (e *explorer) seed() (uint64, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.seeds > 0 && e.next == e.seeds || !e.until.IsZero() && time.Now().After(e.until) || len(e.failures)+len(e.again) >= e.most {
		return 0, false
	}
	e.next++
	return e.first + e.next - 1, true
}

func (e *explorer) run(seed uint64) {
	r := sim.Run(seed, e.options)
	alike := true
	if e.twice > 0 && seed%e.twice == 0 {
		alike = sim.Run(seed, e.options).Hash == r.Hash
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.runs++
	e.deliver += r.Deliveries
	e.requests += r.Requests
	e.ticks += r.Ticks
	e.coverage.Add(r.Coverage)
	if len(r.Violations) > 0 {
		e.failures = append(e.failures, r)
		fmt.Printf("\r%s\n", r)
	}
	if !alike {
		e.again = append(e.again, seed)
		fmt.Printf("\rI24: seed %d does not happen alike twice\nreplay: %s\n", seed, sim.Replay(seed))
	}
}

func (e *explorer) progress() {
	e.mu.Lock()
	defer e.mu.Unlock()
	fmt.Fprintf(os.Stderr, "\r%d seeds, the last one is %d, %d failures ", e.runs, e.first+e.next-1, len(e.failures)+len(e.again))
}

func (e *explorer) summary(took time.Duration, workers int) {
	fmt.Printf("%d seeds from %d on: %d failures, %d deliveries, %d requests, %s of cluster time\n%s",
		e.runs, e.first, len(e.failures)+len(e.again), e.deliver, e.requests, time.Duration(e.ticks)*10*time.Millisecond, e.coverage)
	if e.runs > 0 {
		fmt.Fprintf(os.Stderr, "%s, %s per seed and worker\n", took.Round(time.Millisecond), (took * time.Duration(workers) / time.Duration(e.runs)).Round(100*time.Microsecond))
	}
}
