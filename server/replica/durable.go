package replica

import (
	"fmt"
	"time"

	"github.com/pbft-go/pbft/config"
	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/execution"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/server/statemachine"
	"github.com/pbft-go/pbft/server/storage"
)

// persister makes records durable. Persist reports whether they are already;
// else InDurable follows.
type persister interface {
	Persist(k consensus.PersistID, records []consensus.Record) (durable bool)
}

// memory keeps nothing: what it is told survives as long as the process. A
// replica that restarts has lost its memory and counts as faulty.
type memory struct{}

// Persist is done at once.
func (memory) Persist(consensus.PersistID, []consensus.Record) bool { return true }

// disk keeps everything in the replica's data directory.
type disk struct {
	r     *Replica
	store *storage.Storage
	w     *storage.Writer
	saves waits // of the state, under way
}

// Persist hands the records to the writer.
func (d *disk) Persist(k consensus.PersistID, records []consensus.Record) bool {
	d.w.Persist(k, records)
	return false
}

// buildMemory makes core and engine with nothing behind them.
func (r *Replica) buildMemory(sm statemachine.StateMachine) (engine *execution.Engine, err error) {
	c := coreConfig(r.cfg, r.o.Index)
	c.Fresh = true
	if r.core, err = consensus.New(c, sign(r.cluster, r.o.Index)); err != nil {
		return nil, err
	}
	r.persister = memory{}
	return execution.New(engineConfig(r.cfg, r.o.Index), sm)
}

// buildDurable makes core and engine as the data directory has them.
func (r *Replica) buildDurable(sm statemachine.StateMachine) (engine *execution.Engine, err error) {
	began := time.Now()
	dir := r.cfg.ReplicaDir(r.o.Index)
	d := &disk{r: r}
	r.disk = d
	if d.store, err = storage.Open(storage.Options{
		Dir: dir, Limits: limits(r.cfg), Logger: r.log, Failed: r.diskFailed,
		Identity: storage.Identity{Cluster: r.cluster, Replica: r.o.Index, Incarnation: incarnation, Agreed: r.cfg.Agreed()},
	}); err != nil {
		return nil, err
	}
	engine, loaded, err := execution.Open(engineConfig(r.cfg, r.o.Index), sm, d.store.State)
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", dir, err)
	}
	y, err := consensus.NewRecovery(coreConfig(r.cfg, r.o.Index), sign(r.cluster, r.o.Index), consensus.Restored{N: loaded.N, LastTimeUS: loaded.LastTimeUS, Windows: loaded.Windows})
	if err != nil {
		return nil, err
	}
	log, err := d.store.Replay(y.Take)
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", dir, err)
	}
	r.core, r.loaded, r.persister = y.Replica(), loaded.State, d
	at := y.Position()
	d.w = storage.NewWriter(log, loaded.N, at, storage.WriterOptions{
		Durable: func(k consensus.PersistID) {
			r.inbox.put(item{from: fromSelf, input: consensus.Input{Kind: consensus.InDurable, K: k}})
		},
		Failed: r.diskFailed,
		Synced: r.syncs.note,
	})
	r.log.Info("data directory opened", "dir", dir, "new", d.store.New, "sync", d.store.Sync(), "took", time.Since(began).Round(time.Millisecond),
		"view", at.View, "low_watermark", at.LowWatermark, "state", loaded.N, "committed", at.LastCommitted)
	return engine, nil
}

// diskFailed halts the replica: after a failed write or sync nothing is known
// of what the disk holds, and a replica that goes on could forget a promise.
func (r *Replica) diskFailed(err error) {
	r.halt(fmt.Sprintf("the disk failed, and this replica takes no part any more: %v", err))
}

// save writes a state that the engine has gathered, once the records that led
// to it are durable, and it is stable.
func (d *disk) save(p *execution.PendingSave) {
	n := p.N()
	if p.Urgent() {
		n = 0
	}
	d.w.After(n, func() {
		if !d.saves.begin() {
			return
		}
		defer d.saves.end()
		if err := p.Commit(); err != nil {
			d.r.diskFailed(fmt.Errorf("state: %w", err))
			return
		}
		d.r.exec.askAlways(func(e *execution.Engine) {
			e.Saved(p)
			d.w.Saved(e.SavedN())
		})
	})
}

// close writes what waits, and lets the directory go. Loop and executor have
// ended.
func (d *disk) close() {
	if d == nil {
		return
	}
	if d.w != nil {
		d.w.Close()
	}
	d.saves.wait()
	if err := d.store.Close(); err != nil {
		d.r.log.Error("data directory", "err", err)
	}
}

// begin steps what a replica does first: it goes on from where its disk has it.
func (t *turn) begin() {
	t.step(consensus.Input{Kind: consensus.InStart})
	if s := t.r.loaded; s != nil {
		t.step(consensus.Input{Kind: consensus.InCheckpointReady, State: s})
	}
	t.perform()
}

// engineConfig is what the engine is made with.
func engineConfig(c *config.Config, index int) execution.Config {
	return execution.Config{
		Cluster: c.ClusterID, Self: message.ReplicaID(index),
		ClientWindow: c.ClientWindow, MaxClients: c.MaxClients,
		ReplyBytes: c.ReplyBytes, MaxCachedResult: c.MaxCachedResult,
		HistoryBytes: c.HistoryBytes, ResultCache: c.ResultCache, ConfigDigest: c.Digest(),
		HistoryKeep: int64(c.HistoryKeep), // config.All is negative, as there
	}
}

// coreConfig is what the core is made with.
func coreConfig(c *config.Config, index int) consensus.Config {
	return consensus.Config{
		Cluster: c.ClusterID, Self: message.ReplicaID(index), Incarnation: incarnation, N: len(c.Nodes),
		Interval: uint64(c.CheckpointInterval), Window: uint64(c.Window()), Limits: limits(c),
		WindowBytes: c.WindowBytes, ClientWindow: c.ClientWindow,
		Pipeline: c.Pipeline, Depth: c.Depth,
		MaxPending: c.MaxPending, MaxPendingBytes: c.MaxPendingBytes, ClientPendingBytes: c.ClientPendingBytes,
		MaxDriftUS: c.MaxDrift.Microseconds(), Timeout: ticks(c.ViewChangeTimeout), MaxTimeout: ticks(config.MaxTimeout),
		SyncInterval: ticks(c.SyncInterval), RetryFirst: ticks(100 * time.Millisecond),
		StatusBudget: c.StatusBudget,
	}
}

// sign signs with the key of a replica.
func sign(cluster crypto.ClusterID, index int) consensus.SignFunc {
	signer := crypto.DevelopmentSigner(cluster, index)
	return func(tag crypto.Tag, b []byte) [crypto.SignatureSize]byte { return signer.Sign(cluster, tag, b) }
}

func limits(c *config.Config) message.Limits {
	return message.Limits{MaxBatch: c.MaxBatch, MaxBatchBytes: c.MaxBatchBytes}
}
