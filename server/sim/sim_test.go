package sim

import (
	"flag"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

var (
	seedFlag   = flag.Int64("seed", -1, "the seed that TestSeed runs")
	traceFlag  = flag.Bool("trace", false, "TestSeed prints one line per event")
	ignoreFlag = flag.String("ignore", "", "do not report violations whose text holds one of these, separated by |")
	seedsFlag  = flag.Int("seeds", 400, "how many seeds TestSeeds runs, from 0 on; 100 with -short")
)

func options() (o Options) {
	if *ignoreFlag != "" {
		o.Ignore = strings.Split(*ignoreFlag, "|")
	}
	return o
}

// TestSeed runs the one seed of -seed, to see again what was found.
func TestSeed(t *testing.T) {
	if *seedFlag < 0 {
		t.Skip("runs the seed that -seed names")
	}
	o := options()
	if *traceFlag {
		o.Trace = os.Stdout
	}
	r := Run(uint64(*seedFlag), o)
	t.Logf("%s\n%s", r, r.Coverage)
	if len(r.Violations) > 0 {
		t.Fail()
	}
}

// TestSeeds runs many seeds. Each is a world of its own; every 16th is run
// twice, and must happen twice alike (I24).
func TestSeeds(t *testing.T) {
	if *seedFlag >= 0 {
		t.Skip("-seed is for TestSeed")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // a run leaves much behind and holds little
	seeds := *seedsFlag
	if testing.Short() {
		seeds = min(seeds, 24)
	}
	total := Coverage{}
	var mu sync.Mutex
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for seed := next.Add(1) - 1; seed < int64(seeds) && !t.Failed(); seed = next.Add(1) - 1 {
				r := Run(uint64(seed), options())
				mu.Lock()
				total.Add(r.Coverage)
				mu.Unlock()
				judge(t, r)
				if seed%16 == 0 {
					if again := Run(uint64(seed), options()); again.Hash != r.Hash {
						t.Errorf("I24: seed %d: hash %016x, and %016x when run again\nreplay: %s", seed, r.Hash, again.Hash, Replay(r.Seed))
					}
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d seeds:\n%s", seeds, total)
}

// judge fails a test for what a run broke, and for one that tests too little.
func judge(t *testing.T, r *Report) {
	t.Helper()
	switch {
	case len(r.Violations) > 0:
		t.Error(r)
	case r.Deliveries < leastDeliveries || r.Requests < 100 || r.Faults < 1:
		t.Errorf("%s\n%sthat is too little", strings.TrimSpace(r.String()), r.Plan)
	}
}
