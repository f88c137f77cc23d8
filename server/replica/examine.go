package replica

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/execution"
	"github.com/pbft-go/pbft/server/statemachine"
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
	y.Replica()
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
// It changes nothing.
func Dump(dir string, out io.Writer) (first uint64, err error) {
	i, err := storage.Inspect(dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, i.Close()) }()
	e, err := openHistory(i)
	if err != nil {
		return 0, err
	}
	w := bufio.NewWriterSize(out, 64<<10)
	_, _ = w.WriteString("[") // Flush tells
	line, started := []byte(nil), false
	for next := uint64(1); next > 0; {
		entries, after := e.Dump(next, dumpPage)
		for k := range entries {
			x := &entries[k]
			line = line[:0]
			if started {
				line = append(line, ", "...)
			} else {
				first = x.N
			}
			started = true
			_, _ = w.Write(wire.AppendDumpEntry(line, x.Client, x.Number, x.Op))
		}
		next = after
	}
	if p := e.TakeSave(); p != nil { // it met damage
		return first, p.Commit()
	}
	_, _ = w.WriteString("]\n")
	return first, w.Flush()
}

// openHistory makes an engine with the whole history of a directory: what is in
// the log only it executes again, as a replica that starts does, but without the
// application. Which requests are executed does not depend on that.
func openHistory(i *storage.Inspection) (*execution.Engine, error) {
	c := engineConfig(i.Config, i.Replica)
	c.SaveBytes = math.MaxInt
	e, loaded, err := execution.Open(c, mute{}, i.State)
	if err != nil {
		return nil, err
	}
	y, err := consensus.NewRecovery(coreConfig(i.Config, i.Replica), sign(i.Cluster, i.Replica),
		consensus.Restored{N: loaded.N, LastTimeUS: loaded.LastTimeUS, Windows: loaded.Windows})
	if err != nil {
		return nil, err
	}
	if _, err := i.Replay(y.Take); err != nil {
		return nil, err
	}
	var out consensus.Effects
	y.Replica().Step(&consensus.Input{Kind: consensus.InStart}, &out)
	for k := range out.Execs {
		out.Execs[k].Checkpoint = false // nobody asks for its digest
		e.Execute(&out.Execs[k])
	}
	return e, nil
}

// mute is an application that does nothing.
type mute struct{}

// Apply implements statemachine.StateMachine.
func (mute) Apply(b *statemachine.Batch, _ statemachine.State, r *statemachine.Results) {
	for range b.Ops {
		r.Add(nil)
	}
}
