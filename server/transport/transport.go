package transport

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/pbft-go/pbft/config"
	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/wire"
)

// Handler takes what peers send.
type Handler interface {
	// Receive is called by the reader of a stream, in the order of the stream.
	// While it blocks, that stream alone is read no further. bytes is the size
	// of the frame. The messages are the handler's from then on.
	Receive(from message.ReplicaID, msgs []message.Message, bytes int)
	// Connected tells that the protocol's stream to a peer came up or broke.
	Connected(peer message.ReplicaID, up bool)
}

// Options say what a Transport is made of.
type Options struct {
	Config      *config.Config
	Index       int
	Incarnation uint32
	Verifier    *message.Verifier
	Limits      message.Limits
	Logger      *slog.Logger
	Addrs       []string // of the peers' peer ports; nil: those of Config
	Seed        uint64   // of the simulated loss; 0: drawn at random
	// ConfigMismatch is called once f+1 peers report one other configuration
	// digest: at least one correct replica runs with other values.
	ConfigMismatch func(digest crypto.Digest, differing []string)
}

// Transport is a replica's end of all its links.
type Transport struct {
	o      Options
	h      Handler
	log    *slog.Logger
	self   message.ReplicaID
	peers  []*peer // by index; nil at self
	server *grpc.Server
	hello  *pbftv1.Hello
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	lossMu sync.Mutex
	loss   *rand.Rand

	mismatch  mismatch
	strangers limiter
}

// maxFrameOverhead is what a frame may hold beside its largest message.
const maxFrameOverhead = 64 << 10

// New makes a transport. Start and Serve make it work.
func New(o Options, h Handler) (*Transport, error) {
	n := len(o.Config.Nodes)
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
		o: o, h: h, log: o.Logger, self: message.ReplicaID(o.Index),
		loss: rand.New(rand.NewPCG(o.Seed, uint64(o.Index))),
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.hello = t.newHello()
	for i := range n {
		if i == o.Index {
			t.peers = append(t.peers, nil)
			continue
		}
		t.peers = append(t.peers, newPeer(t, message.ReplicaID(i), o.Addrs[i]))
	}
	t.server = grpc.NewServer(wire.PeerServerOptions(t.maxMessage())...)
	pbftv1.RegisterPeerServiceServer(t.server, &service{t: t})
	return t, nil
}

// maxMessage is the size of the largest frame: a sender closes one before it
// would hold a second batch beyond maxFrame.
func (t *Transport) maxMessage() int { return maxFrame + t.o.Limits.MaxBatchBytes + maxFrameOverhead }

// Serve takes the connections of peers with larger indexes until Stop.
func (t *Transport) Serve(ln net.Listener) error { return t.server.Serve(ln) }

// Start dials the peers with smaller indexes.
func (t *Transport) Start() {
	for i := range t.o.Index {
		t.wg.Go(t.peers[i].dial)
	}
}

// Stop closes all links and waits for their goroutines.
func (t *Transport) Stop() {
	t.cancel()
	t.server.Stop()
	t.wg.Wait()
}

// Send queues messages for one peer. It never blocks. Without a link they are
// dropped: what is still missing when it comes up, Status repairs.
func (t *Transport) Send(to message.ReplicaID, msgs ...message.Message) {
	if int(to) >= len(t.peers) || t.peers[to] == nil {
		return
	}
	for _, m := range msgs {
		if !t.lost() {
			t.peers[to].laneOf(m).out.put(entry{msg: m, size: sizeOf(m)})
		}
	}
}

// Broadcast queues a message for every peer.
func (t *Transport) Broadcast(m message.Message) {
	for i, p := range t.peers {
		if p != nil {
			t.Send(message.ReplicaID(i), m)
		}
	}
}

// lost decides whether the simulated network loses a message.
func (t *Transport) lost() bool {
	p := t.o.Config.LossPercent
	if p <= 0 {
		return false
	}
	t.lossMu.Lock()
	defer t.lossMu.Unlock()
	return t.loss.Float64()*100 < p
}

// PeerState is what operators see of one link.
type PeerState struct {
	Index       int
	Address     string
	Connected   bool
	Dropped     uint64 // messages from a full outbox
	QueuedBytes int
	Rejected    uint64 // messages that failed a check
	LastError   string
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

// limiter lets one log line through per interval.
type limiter struct {
	mu   sync.Mutex
	next time.Time
}

const logInterval = 5 * time.Second

func (l *limiter) allow() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if now.Before(l.next) {
		return false
	}
	l.next = now.Add(logInterval)
	return true
}
