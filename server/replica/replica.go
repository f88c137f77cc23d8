// Package replica runs one replica: it gives the pure core a clock, a network,
// persistence, an application and a public port.
//
// Who owns what. Every arrow is a queue; the policy of each stands with it.
//
//	peer readers ─┐                         ┌─> peer senders (transport)
//	client streams┼─> inbox ─> loop ────────┼─> persister ──> inbox (Durable)
//	clock ────────┘           (the core)    └─> executor ───> inbox (Executed)
//	                                             │ (state, client table, history)
//	                                             └─> client streams, reply posts
//
// The loop's goroutine alone touches the core. The executor's goroutine alone
// touches execution.Engine. Neither ever waits for a peer or a client.
package replica

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pbft-go/pbft/config"
	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/gateway"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/server/statemachine"
	"github.com/pbft-go/pbft/server/transport"
)

// incarnation of every replica until replicas can rejoin.
const incarnation = 1

// stopTimeout bounds a graceful stop: calls that still run are cut off then.
const stopTimeout = 5 * time.Second

// Options say what a replica is made of.
type Options struct {
	Config       *config.Config
	Index        int
	StateMachine statemachine.StateMachine // nil: the one that Config names
	Logger       *slog.Logger              // nil: discarded
	Version      string                    // of the program

	// Listeners of the two ports; nil: those of Config. With listeners of
	// one's own, PeerAddrs tells where the others' peer ports are.
	PublicListener, PeerListener net.Listener
	PeerAddrs                    []string
}

// Replica is one running replica.
type Replica struct {
	o       Options
	cfg     *config.Config
	log     *slog.Logger
	cluster crypto.ClusterID

	core      *consensus.Replica
	inbox     *inbox
	exec      *executor
	transport *transport.Transport
	gateway   *gateway.Server
	persister persister
	disk      *disk          // nil: durability is memory
	loaded    *message.State // of the disk, nil: none
	started   time.Time

	tickets tickets
	events  eventLog
	window  windowClock
	lies    liar

	// What other goroutines may read of the loop's state.
	view   atomic.Uint64
	status atomic.Uint32 // message.ReplicaStatus
	reason atomic.Pointer[string]
	halted chan struct{} // closed when the core halts or panics
	haltMu sync.Once

	draining   atomic.Bool   // this replica stops, and led
	handed     chan struct{} // closed when another replica leads
	handedOnce sync.Once

	complaints atomic.Uint64
	turns      times // of the loop
	syncs      times // of the log
}

// New makes a replica and opens its ports; Run starts it.
func New(o Options) (*Replica, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Index < 0 || o.Index >= len(o.Config.Nodes) {
		return nil, fmt.Errorf("replica index %d is out of range: the configuration has nodes 0 to %d", o.Index, len(o.Config.Nodes)-1)
	}
	r := &Replica{
		o: o, cfg: o.Config, log: o.Logger, cluster: o.Config.ClusterID,
		inbox: newInbox(len(o.Config.Nodes)), halted: make(chan struct{}), handed: make(chan struct{}), started: time.Now(),
	}
	r.events.init(r)
	r.lies.init(r)
	if err := r.build(); err != nil {
		r.closeListeners()
		r.disk.close()
		return nil, err
	}
	return r, nil
}

func (r *Replica) build() error {
	if err := r.listen(); err != nil {
		return err
	}
	sm := r.o.StateMachine
	if sm == nil {
		var err error
		if sm, err = stateMachine(r.cfg.StateMachine); err != nil {
			return err
		}
	}
	build := r.buildDurable
	if r.cfg.Durability == config.Memory {
		build = r.buildMemory
	}
	engine, err := build(sm)
	if err != nil {
		return err
	}
	info := r.core.Info()
	r.status.Store(uint32(info.Status))
	r.view.Store(info.View)
	r.exec = newExecutor(r, engine)
	r.transport, err = transport.New(transport.Options{
		Config: r.cfg, Index: r.o.Index, Incarnation: incarnation, Verifier: r.verifier(), Limits: limits(r.cfg),
		Logger: r.log, Addrs: r.o.PeerAddrs, ConfigMismatch: r.configMismatch,
	}, (*handler)(r))
	if err != nil {
		return err
	}
	r.gateway, err = gateway.New(gateway.Options{
		Config: r.cfg, Index: r.o.Index, Logger: r.log, Version: r.o.Version, Metrics: &metrics{r: r, timeout: askTimeout},
	}, (*backend)(r))
	return err
}

func (r *Replica) listen() (err error) {
	node := r.cfg.Nodes[r.o.Index]
	if r.o.PublicListener == nil {
		if r.o.PublicListener, err = net.Listen("tcp", node.Addr()); err != nil {
			return fmt.Errorf("public port of replica %d: %w (is another replica running? port and peer_port stand in the configuration)", r.o.Index, err)
		}
	}
	if r.o.PeerListener == nil {
		if r.o.PeerListener, err = net.Listen("tcp", node.PeerAddr()); err != nil {
			return fmt.Errorf("peer port of replica %d: %w (set peer_port in the configuration if it is taken)", r.o.Index, err)
		}
	}
	return nil
}

func (r *Replica) closeListeners() {
	for _, l := range []net.Listener{r.o.PublicListener, r.o.PeerListener} {
		if l != nil {
			_ = l.Close()
		}
	}
}

// tick is the length of the core's tick.
const tick = 10 * time.Millisecond

func ticks(d time.Duration) uint64 { return uint64(max((d+tick-1)/tick, 1)) }

// verifier knows the members' keys: development keys until there are others.
func (r *Replica) verifier() *message.Verifier {
	n := len(r.cfg.Nodes)
	v := &message.Verifier{
		Cluster: r.cluster, Quorum: consensus.Quorum(n),
		Window: uint64(r.cfg.Window()), PerNumber: consensus.M*n + 1,
	}
	for i := range n {
		v.Members = append(v.Members, message.Member{Key: crypto.DevelopmentSigner(r.cluster, i).Public(), Incarnation: incarnation})
	}
	return v
}

// Addr is the address of the public port.
func (r *Replica) Addr() net.Addr { return r.o.PublicListener.Addr() }

// Run serves until ctx ends, and then stops gracefully and returns nil. It
// returns an error if the replica had to halt.
func (r *Replica) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.started = time.Now() // ticks begin here: opening a data directory takes its time
	var wg sync.WaitGroup
	failed := make(chan error, 2)
	wg.Go(r.exec.run)
	wg.Go(r.loop)
	wg.Go(func() {
		if err := r.transport.Serve(r.o.PeerListener); err != nil {
			failed <- fmt.Errorf("peer port: %w", err)
		}
	})
	wg.Go(func() {
		if err := r.gateway.Serve(r.o.PublicListener); err != nil {
			failed <- fmt.Errorf("public port: %w", err)
		}
	})
	r.transport.Start()
	r.log.Info("replica started", "addr", r.Addr().String(), "peer_addr", r.o.PeerListener.Addr().String(),
		"replicas", len(r.cfg.Nodes), "cluster", r.cluster.String(), "state_machine", r.cfg.StateMachine, "durability", r.cfg.Durability)
	var err error
	select {
	case <-ctx.Done():
	case <-r.halted:
		err = errors.New(*r.reason.Load())
	case err = <-failed:
	}
	r.stop()
	wg.Wait()
	r.disk.close()
	r.log.Info("replica stopped")
	return err
}

// handOverTimeout bounds how long a primary that stops waits for another one.
const handOverTimeout = time.Second

// handOver gives the view up if this replica is its primary, and waits for the
// next one: its clients then see no pause but that of the change.
func (r *Replica) handOver() {
	if !r.leads() {
		return
	}
	r.draining.Store(true)
	r.inbox.put(item{from: fromSelf, input: consensus.Input{Kind: consensus.InDrain}})
	late := time.NewTimer(handOverTimeout)
	defer late.Stop()
	look := time.NewTicker(handOverTimeout / 50)
	defer look.Stop()
	for r.connected() >= consensus.Quorum(len(r.cfg.Nodes)) { // else nobody can take over
		select {
		case <-r.handed:
			r.log.Info("handed over", "view", r.view.Load())
			return
		case <-late.C:
			r.log.Warn("nobody took over in time", "after", handOverTimeout)
			return
		case <-r.halted:
			return
		case <-look.C:
		}
	}
}

// leads reports whether this replica is the primary of a view that is at work.
func (r *Replica) leads() bool {
	n := len(r.cfg.Nodes)
	return n > 1 && r.status.Load() == uint32(message.Normal) && consensus.Primary(r.view.Load(), n) == r.o.Index
}

// noteHandOver tells a primary that waits to stop that another one is at work.
func (r *Replica) noteHandOver() {
	if r.draining.Load() && r.status.Load() == uint32(message.Normal) && !r.leads() {
		r.handedOnce.Do(func() { close(r.handed) })
	}
}

// stop hands over, then ends the public port, so that calls under way get their
// answers, then the links, then the core.
func (r *Replica) stop() {
	r.handOver()
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := r.gateway.Stop(ctx); err != nil {
		r.log.Warn("calls were cut off", "err", err)
	}
	r.transport.Stop()
	r.inbox.close()
	r.exec.close()
}

// halt stops the replica for good. Only the first reason counts.
func (r *Replica) halt(why string) {
	r.haltMu.Do(func() {
		r.reason.Store(&why)
		r.status.Store(uint32(message.Halted))
		r.log.Error("replica halts", "reason", why)
		close(r.halted)
	})
}

// configMismatch stops the replica when f+1 peers agree on another
// configuration: one liar must not stop anybody.
func (r *Replica) configMismatch(d crypto.Digest, differing []string) {
	r.halt(fmt.Sprintf("%d replicas use another configuration (digest %s); values that differ here: %v", r.cfg.F()+1, d.Hex(), differing))
}
