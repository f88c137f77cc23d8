package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/pbft-go/pbft/config"
	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/wire"
)

// Handler takes what peers send.
type Handler interface {
	// Receive is called by the reader of a stream, in the order of the stream;
	// Connect and Bulk of one peer have a reader each. While it blocks, that
	// stream alone is read no further; it must not block for ever once Stop
	// was called. bytes is the size of the frame. The messages are the
	// handler's from then on; a body that is most of its frame aliases it.
	Receive(from message.ReplicaID, msgs []message.Message, bytes int)
	// Connected tells that the link to a peer came up, before anything of it is
	// received, or that it broke, after everything of it was.
	Connected(peer message.ReplicaID, up bool)
}

// Options say what a Transport is made of.
type Options struct {
	Config      *config.Config
	Index       int
	Incarnation uint32
	Verifier    *message.Verifier // knows the epoch and its members
	Limits      message.Limits
	Logger      *slog.Logger
	Addrs       []string // of the replicas' peer ports, by index; nil: those of Config
	Seed        uint64   // of the simulated loss; 0: drawn at random

	// ConfigMismatch is called once f+1 peers report one other configuration
	// digest: at least one correct replica runs with other values. differing
	// names them, as far as the last of the peers told. It must not block.
	ConfigMismatch func(digest crypto.Digest, differing []string)
}

// Transport is a replica's end of its links to all peers.
type Transport struct {
	o      Options
	h      Handler
	log    *slog.Logger
	self   message.ReplicaID
	peers  []*peer       // by index; nil at self
	digest crypto.Digest // of the configuration
	server *grpc.Server
	dial   []grpc.DialOption

	ctx    context.Context // ends with Stop
	cancel context.CancelFunc
	wg     sync.WaitGroup

	lossMu sync.Mutex
	loss   *rand.Rand

	conns     conns
	mismatch  mismatch
	strangers limiter
}

// New makes a transport. Serve and Start make it work.
func New(o Options, h Handler) (*Transport, error) {
	n := len(o.Config.Nodes)
	if o.Index < 0 || o.Index >= n || n != len(o.Verifier.Members) {
		return nil, fmt.Errorf("transport: index %d, %d replicas, %d members", o.Index, n, len(o.Verifier.Members))
	}
	if o.Addrs == nil {
		for _, node := range o.Config.Nodes {
			o.Addrs = append(o.Addrs, node.PeerAddr())
		}
	}
	if len(o.Addrs) != n {
		return nil, fmt.Errorf("transport: %d addresses for %d replicas", len(o.Addrs), n)
	}
	if o.Seed == 0 {
		o.Seed = rand.Uint64()
	}
	t := &Transport{
		o: o, h: h, log: o.Logger, self: message.ReplicaID(o.Index), digest: o.Config.Digest(),
		loss:     rand.New(rand.NewPCG(o.Seed, uint64(o.Index))),
		mismatch: mismatch{need: o.Config.F() + 1, tell: o.ConfigMismatch, digests: make(map[message.ReplicaID]crypto.Digest)},
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.conns.init(t, n)
	for i := range n {
		p, err := newPeer(t, message.ReplicaID(i), o.Addrs[i])
		if err != nil {
			return nil, err
		}
		t.peers = append(t.peers, p)
	}
	t.peers[o.Index] = nil
	t.dial = append(wire.PeerDialOptions(maxReceived(o.Limits)), grpc.WithTransportCredentials(insecure.NewCredentials()))
	t.server = grpc.NewServer(append(wire.PeerServerOptions(maxReceived(o.Limits)),
		grpc.WaitForHandlers(true), grpc.UnknownServiceHandler(t.refuseClients))...)
	pbftv1.RegisterPeerServiceServer(t.server, &service{t: t})
	return t, nil
}

// Serve takes the connections of peers with larger indexes until Stop. It
// closes ln.
func (t *Transport) Serve(ln net.Listener) error {
	err := t.server.Serve(&listener{Listener: ln, conns: &t.conns})
	if errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return err
}

// Start dials the peers with smaller indexes.
func (t *Transport) Start() {
	for _, p := range t.peers[:t.o.Index] {
		t.wg.Go(p.redial)
	}
}

// Stop closes all links and waits for everything that runs for them.
func (t *Transport) Stop() {
	t.cancel()
	for _, p := range t.peers {
		if p != nil {
			p.disconnect(errStopping)
		}
	}
	t.server.Stop()
	t.wg.Wait()
}

// Send queues messages for one peer. It never blocks. Without a link they are
// dropped, as are the oldest ones where too much waits: Status repairs what is
// missing. The messages must not change afterwards.
func (t *Transport) Send(to message.ReplicaID, msgs ...message.Message) {
	if int(to) >= len(t.peers) || t.peers[to] == nil {
		return
	}
	for _, m := range msgs {
		if !t.loses() {
			t.peers[to].send(m)
		}
	}
}

// Broadcast queues a message for every peer.
func (t *Transport) Broadcast(m message.Message) {
	for i := range t.peers {
		t.Send(message.ReplicaID(i), m)
	}
}

// loses decides whether the simulated network loses a message.
func (t *Transport) loses() bool {
	percent := t.o.Config.LossPercent
	if percent <= 0 {
		return false
	}
	t.lossMu.Lock()
	defer t.lossMu.Unlock()
	return t.loss.Float64()*100 < percent
}

// Peers is the state of all links, by index, without this replica.
func (t *Transport) Peers() (out []PeerState) {
	for _, p := range t.peers {
		if p != nil {
			out = append(out, p.state())
		}
	}
	return out
}
