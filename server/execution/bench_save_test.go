package execution

import (
	"fmt"
	"testing"
	"time"

	"github.com/pbft-go/pbft/server/statemachine/kv"
	"github.com/pbft-go/pbft/server/storage/state"
)

// savedEngine holds values of 100 bytes, on a disk.
func savedEngine(b *testing.B, keys int, cfg Config) (*Engine, *state.DB) {
	db, err := state.Open(state.Options{Dir: b.TempDir(), Failed: func(err error) { b.Error(err) }})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	e, _, err := Open(cfg, kv.New(), db)
	if err != nil {
		b.Fatal(err)
	}
	value := []byte(text(100))
	for i := range keys {
		e.store.Put(fmt.Appendf(nil, "key%d", i), value)
	}
	return e, db
}

func benchConfig() Config {
	return Config{
		Cluster: testCluster, ClientWindow: 1024, MaxCachedResult: 4 << 10, ReplyBytes: 64 << 10, MaxClients: 10_000,
		HistoryBytes: 64 << 20, ResultCache: 256 << 20, SaveBytes: 1,
	}
}

// saveNow saves the state behind an empty batch: the longest piece and the time
// of the commit are what a replica feels of it.
func saveNow(b *testing.B, e *Engine) (longest, gather, commit time.Duration) {
	x := benchBatch(e.lastN+1, e.lastN*1000, func(i uint64) []byte { return fmt.Appendf(nil, "get key%d", i) })
	x.Checkpoint = true
	e.Execute(x)
	e.finishCheckpoint()
	for e.Underway() {
		began := time.Now()
		e.Advance()
		took := time.Since(began)
		longest, gather = max(longest, took), gather+took
	}
	began := time.Now()
	p := e.TakeSave()
	if err := p.Commit(); err != nil {
		b.Fatal(err)
	}
	e.Saved(p)
	return longest, gather, time.Since(began)
}

// BenchmarkExecutePutSaved is BenchmarkExecutePut with a save for each 64 MiB.
func BenchmarkExecutePutSaved(b *testing.B) {
	cfg := benchConfig()
	cfg.SaveBytes = 0
	e, _ := savedEngine(b, benchKeys, cfg)
	done := make(chan *PendingSave, 1)
	saves, committing := 0, false
	benchmarkBatches(b, e, func(i uint64) []byte { return fmt.Appendf(nil, "put key%d %s", scatter(i), text(64)) }, func() {
		if p := e.TakeSave(); p != nil {
			committing = true
			go func() {
				if err := p.Commit(); err != nil {
					b.Error(err)
				}
				done <- p
			}()
		}
		select {
		case p := <-done:
			e.Saved(p)
			saves, committing = saves+1, false
		default:
		}
	})
	if committing {
		<-done
	}
	b.ReportMetric(float64(saves), "saves")
}

func BenchmarkSave(b *testing.B) {
	for _, keys := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			e, db := savedEngine(b, keys, benchConfig())
			value := []byte(text(100))
			var longest, gather, commit time.Duration
			b.ReportAllocs()
			for range b.N {
				b.StopTimer()
				for i := range keys {
					e.store.Put(fmt.Appendf(nil, "key%d", i), value)
				}
				b.StartTimer()
				l, g, c := saveNow(b, e)
				longest, gather, commit = max(longest, l), gather+g, commit+c
			}
			b.ReportMetric(float64(longest.Microseconds()), "us-longest")
			b.ReportMetric(float64(gather.Milliseconds())/float64(b.N), "ms-gather")
			b.ReportMetric(float64(commit.Milliseconds())/float64(b.N), "ms-commit")
			b.ReportMetric(float64(db.DiskUsage()>>20), "MiB")
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	for _, keys := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			e, db := savedEngine(b, keys, benchConfig())
			saveNow(b, e)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if _, _, err := Open(benchConfig(), kv.New(), db); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
