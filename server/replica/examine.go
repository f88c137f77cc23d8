package replica

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/execution"
	"github.com/pbft-go/pbft/server/storage"
	"github.com/pbft-go/pbft/wire"
)

// Check examines the data directory of a replica that does not run, and prints
// what it holds. It changes nothing. An error says what is damaged.
func Check(dir string, out io.Writer) (err error) {
	i, err := storage.Inspect(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.Close()) }()
	fmt.Fprintf(out, "%s: replica %d of %d, cluster %s, incarnation %d\n", dir, i.Replica, len(i.Config.Nodes), i.Cluster, i.Incarnation)

	sum, err := execution.Inspect(engineConfig(i.Config, i.Replica), i.State)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "state: after batch %d, %d keys in %d bytes, %d clients; its digests are right\n", sum.N, sum.Keys, sum.KeyBytes, sum.Clients)
	if sum.HistoryFirst > 0 {
		fmt.Fprintf(out, "history: batches %d to %d, %d bytes\n", sum.HistoryFirst, sum.HistoryLast, sum.HistoryBytes)
	}
	y, err := consensus.NewRecovery(coreConfig(i.Config, i.Replica), sign(i.Cluster, i.Replica), consensus.Restored{N: sum.N})
	if err != nil {
		return err
	}
	records := 0
	stats, err := i.Replay(func(r *consensus.Record) error {
		records++
		return y.Take(r)
	})
	if err != nil {
		return err
	}
	clean := "it ends with a crash"
	if stats.Clean {
		clean = "it ends with an orderly stop"
	}
	fmt.Fprintf(out, "log: %d segments, %d bytes, %d records in frames %d to %d; %s\n", stats.Segments, stats.Bytes, records, stats.First, stats.Last, clean)
	p := y.Position()
	fmt.Fprintf(out, "position: view %d, asked for view %d, low watermark %d, committed up to %d, accepted up to %d\n", p.View, p.Asked, p.LowWatermark, p.LastCommitted, p.Highest)
	switch {
	case p.Lost:
		fmt.Fprintln(out, "this replica has lost promises, and never votes again")
	case !p.Joined:
		fmt.Fprintln(out, "this replica never took part")
	}
	return nil
}

// dumpPage is how many bytes of operations are read at once.
const dumpPage = 1 << 20

// Dump prints the history in the data directory of a replica that does not run,
// as one line of JSON, and reports the number of the first batch that is there.
// What the log alone has is not in it: a replica that starts executes that.
func Dump(dir string, out io.Writer) (first uint64, err error) {
	i, err := storage.Inspect(dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, i.Close()) }()
	w := bufio.NewWriterSize(out, 64<<10)
	_, _ = w.WriteString("[") // Flush tells
	line, started := []byte(nil), false
	for next := uint64(1); next > 0; {
		entries, after, err := execution.DumpFrom(engineConfig(i.Config, i.Replica), i.State, next, dumpPage)
		if err != nil {
			return 0, err
		}
		for k := range entries {
			e := &entries[k]
			line = line[:0]
			if started {
				line = append(line, ", "...)
			} else {
				first = e.N
			}
			started = true
			_, _ = w.Write(wire.AppendDumpEntry(line, e.Client, e.Number, e.Op))
		}
		next = after
	}
	_, _ = w.WriteString("]\n")
	return first, w.Flush()
}
