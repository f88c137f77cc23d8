package guard

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// The normal case: a batch of the groups of four clients, each with 250
// requests of 64 bytes, and the default configuration.
const (
	clients      = 4
	groupSize    = 250
	batchSize    = clients * groupSize
	opSize       = 64
	keys         = 20_000
	session      = 7
	replicas     = 4
	interval     = 128 // batches between checkpoints
	windowSize   = 4 * interval
	clientWindow = 1024
)

var (
	cluster = crypto.ClusterID{1}
	limits  = message.Limits{MaxBatch: 8192, MaxBatchBytes: 1 << 20}
)

func clientName(i int) string { return fmt.Sprintf("client-%d", i) }

// requests are those of one client in batch n, counted from 0.
func requests(client int, n uint64) []crypto.Request {
	list := make([]crypto.Request, groupSize)
	for i := range list {
		number := n*groupSize + uint64(i)
		list[i] = crypto.Request{
			Number: number, Kind: crypto.KindOperation, ClientTime: crypto.NoClientTime,
			Op: put((number*clients + uint64(client)) % keys),
		}
	}
	return list
}

// put is a command of opSize bytes.
func put(key uint64) []byte {
	op := fmt.Appendf(make([]byte, 0, opSize), "put key-%06d ", key)
	return append(op, bytes.Repeat([]byte{'x'}, opSize-len(op))...)
}

// group is what one client submits for batch n.
func group(tb testing.TB, client int, n uint64) crypto.GroupView {
	g := crypto.Group{Client: clientName(client), Session: session, Requests: requests(client, n)}
	view, err := crypto.ParseGroup(g.Append(nil))
	if err != nil {
		tb.Fatal(err)
	}
	return view
}

// groups are all of batch n.
func groups(tb testing.TB, n uint64) []crypto.GroupView {
	list := make([]crypto.GroupView, clients)
	for i := range list {
		list[i] = group(tb, i, n)
	}
	return list
}
