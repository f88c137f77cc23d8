package execution

import (
	"fmt"
	"testing"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/server/statemachine/kv"
)

const benchKeys = 100_000

// benchEngine holds benchKeys values of 64 bytes and the default limits.
func benchEngine(b *testing.B) *Engine {
	e, err := New(Config{
		Cluster: testCluster, ClientWindow: 1024, MaxCachedResult: 4 << 10, ReplyBytes: 64 << 10, MaxClients: 10_000,
		HistoryBytes: 64 << 20, ResultCache: 256 << 20,
	}, kv.New())
	if err != nil {
		b.Fatal(err)
	}
	for i := range benchKeys {
		e.store.Put(fmt.Appendf(nil, "key%d", i), []byte(text(64)))
	}
	e.store.Checkpoint().Release()
	e.store.Root()
	return e
}

// benchBatch is batch n of 1000 operations, in groups of 200, numbers going
// on from first.
func benchBatch(n, first uint64, operation func(i uint64) []byte) *consensus.Exec {
	var groups []crypto.GroupView
	for k := range uint64(5) {
		g := crypto.Group{Client: "client", Session: 7}
		for j := range uint64(200) {
			x := first + k*200 + j
			g.Requests = append(g.Requests, crypto.Request{Number: x, Kind: crypto.KindOperation, Op: operation(x), ClientTime: crypto.NoClientTime})
		}
		v, err := crypto.ParseGroup(g.Append(nil))
		if err != nil {
			panic(err)
		}
		groups = append(groups, v)
	}
	batch := message.NewBatch(testCluster, message.Header{N: n, WallUS: int64(n)}, groups)
	return &consensus.Exec{N: n, TimeUS: int64(n), Digest: batch.Digest, Batch: batch, Checkpoint: n%128 == 0}
}

func benchmarkExecute(b *testing.B, operation func(i uint64) []byte) {
	benchmarkBatches(b, benchEngine(b), operation, func() {})
}

// benchmarkBatches calls after behind each batch.
func benchmarkBatches(b *testing.B, e *Engine, operation func(i uint64) []byte, after func()) {
	const made = 256
	var next, first uint64
	var batches []*consensus.Exec
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if len(batches) == 0 {
			b.StopTimer()
			for range made {
				next++
				batches = append(batches, benchBatch(next, first, operation))
				first += 1000
			}
			b.StartTimer()
		}
		e.Execute(batches[0])
		after()
		batches[0] = nil
		batches = batches[1:]
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/request")
}

func scatter(i uint64) uint64 { return i * 0x9E3779B97F4A7C15 >> 20 % benchKeys }

// The checkpoints of every 128th batch are part of what Execute costs.

func BenchmarkExecutePut(b *testing.B) {
	benchmarkExecute(b, func(i uint64) []byte { return fmt.Appendf(nil, "put key%d %s", scatter(i), text(64)) })
}

func BenchmarkExecuteGet(b *testing.B) {
	benchmarkExecute(b, func(i uint64) []byte { return fmt.Appendf(nil, "get key%d", scatter(i)) })
}

func BenchmarkCheckpoint(b *testing.B) {
	for _, writes := range []int{1000, 10_000, 128_000} {
		b.Run(fmt.Sprintf("writes=%d", writes), func(b *testing.B) {
			e := benchEngine(b)
			value := []byte(text(64))
			var x uint64
			write := func() {
				for range writes {
					x++
					e.store.Put(fmt.Appendf(nil, "key%d", scatter(x)), value)
				}
			}
			held := e.store.Checkpoint()
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				b.StopTimer()
				write()
				b.StartTimer()
				next := e.store.Checkpoint()
				e.store.Root()
				held.Release()
				held = next
			}
		})
	}
}
